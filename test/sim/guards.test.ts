import { spawnSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../process/cluster.ts';

/** A line that keeps a promise, and what it becomes when it is gone. */
interface Guard {
  readonly name: string;
  readonly file: string;
  readonly line: string;
  readonly without: string;
}

const guards: readonly Guard[] = [
  {
    name: 'a result of another step is dropped',
    file: 'coordinator/results.ts',
    line: 'task.kind !== kind || task.step !== message.step)',
    without: 'task.kind !== kind)',
  },
  {
    name: 'a result that is not finite is refused',
    file: 'coordinator/results.ts',
    line: 'if (!verdict.finite) return',
    without: 'if (!verdict.finite && !verdict.intact) return',
  },
  {
    name: 'the first result of a part is the only one',
    file: 'coordinator/results.ts',
    line: 'if (part.accepted !== undefined) return differ(',
    without: 'if (part.accepted?.slot === -1) return differ(',
  },
  {
    name: 'two that differ are decided by a third',
    file: 'coordinator/results.ts',
    line: 'return reopen(state, task, verdict.part, vote);',
    without:
      'return reopen({ ...state, task }, { ...task, sums: new Set([verdict.part]) }, verdict.part, vote);',
  },
  {
    name: 'what is audited counts only when two agree',
    file: 'coordinator/votes.ts',
    line: 'isDecided: agreeing >= part.quorum',
    without: 'isDecided: agreeing >= 1',
  },
  {
    name: 'a part that two differ about is not reopened for ever',
    file: 'coordinator/results.ts',
    line: 'task.openParts === 0 || part.wasReopened',
    without: 'task.openParts === 0',
  },
  {
    name: 'padding is not leased but added as zero',
    file: 'coordinator/reduce.ts',
    line: 'const siblingIsPadding = !hasReal(sibling, virtualShards, realShards);',
    without: 'const siblingIsPadding = false;',
  },
  {
    name: 'sums are flushed',
    file: 'kernels/twins.ts',
    line: 'if (!(Math.abs(rounded) < SMALLEST_NORMAL)) return rounded;',
    without: 'if (rounded === rounded) return rounded;',
  },
  {
    name: 'the leases of a worker that left are given to others',
    file: 'coordinator/membership.ts',
    line: "(lease.slot === slot ? 'gone' : lease.state)",
    without: '(lease.slot === -1 ? "gone" : lease.state)',
  },
  {
    name: 'only who holds a lease can be late',
    file: 'coordinator/membership.ts',
    line: "const isMissed = (lease: Lease) => lease.state === 'open' && lease.deadline <= now;",
    without: "const isMissed = (lease: Lease) => lease.state !== 'refused' && lease.deadline <= now;",
  },
  {
    name: 'who still computes a part is not asked for it again',
    file: 'coordinator/leases.ts',
    line: 'const able = eligible.filter((slot) => !computes(slot));',
    without: 'const able = eligible.filter((slot) => !computes(-1 * slot - 1));',
  },
  {
    name: 'with too few workers no step begins',
    file: 'coordinator/run.ts',
    line: "if (state.phase !== 'running') return { state, effects: [] };",
    without: '',
  },
  {
    name: 'a coordinator that comes back restores the moments',
    file: 'coordinator/tensors.ts',
    line: 'this.#kernels.floats(this.#secondMoment, this.parameters).set(from.secondMoment);',
    without: '',
  },
  {
    name: 'a worker gives up a connection on which nothing is heard',
    file: 'test/sim/simulated-worker.ts',
    line: 'if (this.#now() - this.#heard < limits.IDLE_LIMIT_MILLISECONDS) return;',
    without: 'if (this.#now() >= 0) return;',
  },
];

const root = fileURLToPath(new URL('../../', import.meta.url));
const SEEDS = '300';

/** A copy of what the simulator runs. */
function copyOfSources(): string {
  const copy = temporaryFolder();
  for (const folder of [
    'coordinator',
    'worker',
    'shared',
    'kernels',
    'data',
    'evaluation',
    'test',
    'dist/kernels',
  ])
    cpSync(join(root, folder), join(copy, folder), { recursive: true });
  for (const file of ['package.json', 'tsconfig.json', 'vitest.config.ts'])
    cpSync(join(root, file), join(copy, file));
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

function simulateIn(folder: string): { passes: boolean; output: string } {
  const { status, stdout, stderr } = spawnSync(
    join(root, 'node_modules/.bin/vitest'),
    ['run', '--project', 'unit', 'test/sim/simulation.test.ts'],
    { cwd: folder, encoding: 'utf8', env: { ...process.env, MNIST_DIST_SIM_SEEDS: SEEDS } },
  );
  return { passes: status === 0, output: stdout + stderr };
}

describe('the simulator', () => {
  it('passes on a copy of the sources', () => {
    const { passes, output } = simulateIn(copyOfSources());
    expect(passes, output).toBe(true);
  });

  it.each(guards)('fails without: $name', ({ file, line, without }) => {
    const copy = copyOfSources();
    const path = join(copy, file);
    const text = readFileSync(path, 'utf8');
    expect(text.split(line), `${file} holds this line once: ${line}`).toHaveLength(2);
    writeFileSync(
      path,
      text.replace(line, () => without),
    );
    const { passes, output } = simulateIn(copy);
    expect(passes, `nothing noticed:\n${output}`).toBe(false);
    expect(output).toContain('npm run sim -- --seed');
  });
});
