import { execFile } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { temporaryFolder } from '../process/cluster.ts';

/** A line that keeps a promise, and what it becomes when it is gone. */
interface Guard {
  readonly name: string;
  readonly file: string;
  readonly line: string;
  readonly without: string;
  /** The test that notices, where the simulator cannot. */
  readonly test?: string;
}

const VOTES = 'test/coordinator/votes.test.ts';
const AUDIT = 'test/coordinator/audit.test.ts';

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
    test: VOTES,
  },
  {
    name: 'what is audited counts only when two agree',
    file: 'coordinator/results.ts',
    line: 'if (supportOf(answered, answer) < part.quorum)',
    without: 'if (supportOf(answered, answer) < 1)',
  },
  {
    name: 'digests are compared where two must agree',
    file: 'coordinator/votes.ts',
    line: 'other.digest === digest && digest !== undefined && other.correct === correct',
    without: 'other.correct === correct',
    test: AUDIT,
  },
  {
    name: 'what a connection said goes with it',
    file: 'coordinator/leases.ts',
    line: 'answers: part.answers.filter((answer) => answer.slot !== slot)',
    without: 'answers: part.answers',
    test: VOTES,
  },
  {
    name: 'a result that is taken back is forgotten in the sum',
    file: 'coordinator/votes.ts',
    line: 'sums.delete(top);',
    without: '',
  },
  {
    name: 'who contradicts itself is not believed',
    file: 'coordinator/results.ts',
    line: 'if (verdict.finite && earlier !== undefined && !isAlike(earlier, answer))',
    without: 'if (verdict.finite && earlier !== undefined && earlier.slot === -1)',
    test: VOTES,
  },
  {
    name: 'memory that was given back is not read again',
    file: 'shared/frame.ts',
    line: 'if (!isThere) return false;',
    without: '',
    test: 'test/shared/frame.test.ts',
  },
  {
    name: 'memory of a message is used again only once it was given back',
    file: 'shared/large-messages.ts',
    line: 'this.#options.deliver(message, () => (this.#spare = message));',
    without: 'this.#options.deliver(message, () => undefined);\n      this.#spare = message;',
    test: 'test/shared/large-messages.test.ts',
  },
  {
    name: 'a frame of a client without a mask is for ws to judge',
    file: 'shared/websocket-head.ts',
    line: 'if ((mask !== undefined) !== isClient) return false;',
    without: '',
    test: 'test/shared/large-messages.test.ts',
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
    line: 'const task = state.task && withoutWorker(state.task, slot);',
    without: 'const task = state.task;',
  },
  {
    name: 'only who holds a lease can be late',
    file: 'coordinator/leases.ts',
    line: "return state === 'open' && deadline <= now;",
    without: "return state !== 'refused' && deadline <= now;",
  },
  {
    name: 'a part that misses its deadlines gets more time',
    file: 'coordinator/leases.ts',
    line: 'usualMilliseconds(times, kind, work) * 2 ** missed,',
    without: 'usualMilliseconds(times, kind, work),',
    test: 'test/coordinator/leases.test.ts',
  },
  {
    name: 'a body that was taken back is taken again from who has confirmed it',
    file: 'coordinator/results.ts',
    line: ' && supportOf(part, earlier) < part.quorum',
    without: '',
    test: VOTES,
  },
  {
    name: 'a checksum that was made up is found by its digest',
    file: 'coordinator/votes.ts',
    line: 'if (isDigested && one.digest !== other.digest) return false;',
    without: '',
    test: VOTES,
  },
  {
    name: 'a damaged checkpoint is not kept instead of a good one',
    file: 'coordinator/checkpoints.ts',
    line: '.filter((other) => other <= name)',
    without: '',
    test: 'test/coordinator/checkpoints.test.ts',
  },
  {
    name: 'whoever was fenced off removes no artifacts',
    file: 'coordinator/old-artifacts.ts',
    line: 'await disk.rename(join(folder, name), draft);',
    without: 'await disk.remove(join(folder, name));',
    test: 'test/coordinator/artifacts.test.ts',
  },
  {
    name: 'who prepares has no more time than it has said',
    file: 'coordinator/membership.ts',
    line: 'const seen = isReady ? { ...worker, silentAt } : worker;',
    without: 'const seen = { ...worker, silentAt };',
    test: 'test/coordinator/run.test.ts',
  },
  {
    name: 'a coordinator that has ended takes no event',
    file: 'coordinator/driver.ts',
    line: 'if (this.#farewell !== undefined) return;',
    without: '',
    test: 'test/coordinator/driver.test.ts',
  },
  {
    name: 'who still computes a part is not asked for it again',
    file: 'coordinator/leases.ts',
    line: "count(slot, 'late') === 0 && !isSpent(slot)",
    without: '!isSpent(slot)',
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
    file: 'worker/link.ts',
    line: 'if (!this.#open || silent < limits.IDLE_LIMIT_MILLISECONDS) return;',
    without: 'if (!this.#open || silent < Infinity) return;',
    test: 'test/worker/link.test.ts',
  },
  {
    name: 'a file is synced before it gets its name',
    file: 'data/whole-file.ts',
    line: 'await file.sync();',
    without: '',
  },
  {
    name: 'a new name is synced',
    file: 'data/whole-file.ts',
    line: 'await disk.syncDirectory(dirname(path));',
    without: '',
  },
  {
    name: "a new directory's name is synced",
    file: 'data/whole-file.ts',
    line: 'await disk.syncDirectory(directory);',
    without: '',
  },
  {
    name: 'the lines of all steps are synced before a checkpoint can be seen',
    file: 'coordinator/store.ts',
    line: 'await this.#metrics.sync();\n    return await this.#unlessSuperseded',
    without: 'return await this.#unlessSuperseded',
  },
  {
    name: 'the fence: who was taken over has no drafts any more',
    file: 'coordinator/drafts.ts',
    line: "if (number < ours || (await lock.holder()) === 'we') await removeFolder(join(directory, name), disk);",
    without: 'if (number > ours) await removeFolder(join(directory, name), disk);',
  },
  {
    name: 'the fence: the lines go on in new files',
    file: 'coordinator/store.ts',
    line: 'await writeWhole(join(path, name), text, options.disk, drafts);',
    without: "if (text === '') await writeWhole(join(path, name), text, options.disk, drafts);",
  },
  {
    name: 'who was taken over notices while it has nothing to write',
    file: 'coordinator/store.ts',
    line: 'if (isSuperseded) this.#options.onError(superseded(this.path));',
    without: 'if (isSuperseded) return;',
  },
  {
    name: 'workers of who was taken over look for the other one',
    file: 'coordinator/serve.ts',
    line: "? 'SUPERSEDED' : 'RUN_FAILED'",
    without: "? 'RUN_FAILED' : 'RUN_FAILED'",
  },
  {
    name: 'the lock of who lives is respected',
    file: 'coordinator/run-lock.ts',
    line: 'if (processes.startOf(owner.pid) !== owner.started) return;',
    without: 'return;',
  },
  {
    name: 'the term rises',
    file: 'coordinator/open-run.ts',
    line: 'term: record.term + 1, old',
    without: 'term: record.term, old',
  },
  {
    name: 'the term is on the disk before anybody hears of it',
    file: 'coordinator/recorder.ts',
    line: 'await store.writeRun(this.#record(state, undefined));',
    without: 'void store.writeRun(this.#record(state, undefined)).catch(() => undefined);',
  },
  {
    name: 'a write that brought a part is gone on with',
    file: 'coordinator/append-file.ts',
    line: 'this.#rest = this.#rest.subarray(bytes);',
    without: 'this.#rest = NOTHING;',
  },
  {
    name: 'a torn line is cut off',
    file: 'coordinator/old-run.ts',
    line: 'text: text.slice(0, wholeBytes)',
    without: 'text',
  },
  {
    name: 'a step that is computed again is not written again',
    file: 'coordinator/recorder.ts',
    line: 'if (recorded === undefined)\n      store.step(',
    without: 'if (step > 0)\n      store.step(',
  },
  {
    name: 'a step that is computed again is compared',
    file: 'coordinator/recorder.ts',
    line: "else if (recorded.kind !== 'step' || recorded.chain !== chain) throw differs(step, store.path);",
    without: '',
    test: 'test/coordinator/replay.test.ts',
  },
  {
    name: 'workers hear that the run is finished when that is on the disk',
    file: 'coordinator/serve.ts',
    line: 'const outcome = await driver.outcome;',
    without: 'const outcome = await driver.outcome; driver.shutDown(outcome);',
  },
  {
    name: 'a directory without run.json is taken by its id',
    file: 'coordinator/run-directory.ts',
    line: 'if (names.every(isOfUnbegunRun)) return;',
    without: '',
  },
  {
    name: 'a full disk is waited for',
    file: 'coordinator/append-file.ts',
    line: 'if (!isFull(error)) return this.#fail(error);',
    without: 'if (!this.#closed) return this.#fail(error);',
    test: 'test/coordinator/append-file.test.ts',
  },
  {
    name: 'nothing is believed after a failed sync',
    file: 'coordinator/append-file.ts',
    line: 'await this.#file.sync().catch((error: unknown) => this.#fail(error));',
    without: 'await this.#file.sync().catch(() => undefined);',
    test: 'test/coordinator/append-file.test.ts',
  },
  {
    name: 'not more lines wait than a limit says',
    file: 'coordinator/append-file.ts',
    line: 'if (this.#characters + this.#rest.length <= maxBufferBytes) return true;',
    without: 'if (maxBufferBytes > 0) return true;',
    test: 'test/coordinator/append-file.test.ts',
  },
  {
    name: 'what is left of a failed write is removed',
    file: 'data/whole-file.ts',
    line: 'await disk.remove(temporary).catch(() => undefined);',
    without: '',
    test: 'test/data/whole-file.test.ts',
  },
  {
    name: "another's lock is not released",
    file: 'coordinator/run-lock.ts',
    line: "if ((await this.holder()) === 'we') await",
    without: 'await',
    test: 'test/coordinator/run-lock.test.ts',
  },
];

const root = fileURLToPath(new URL('../../', import.meta.url));
/** As many as the guard that is hardest to miss needs; the first failure ends the simulation. */
const SEEDS = 400;
/** Against one that hangs: as long as all of the simulation may take. */
const LIMIT_MILLISECONDS = 2 * SEEDS * 1_000;
const MAX_OUTPUT_BYTES = 16 * 1024 ** 2;

/** A copy of what the simulator runs; `later` is the test's own, since several run at once. */
function copyOfSources(later: (clean: () => void) => void): string {
  const copy = temporaryFolder(later);
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

const SIMULATION = 'test/sim/simulation.test.ts';

async function runIn(
  folder: string,
  test: string,
  signal: AbortSignal,
  seeds = SEEDS,
): Promise<{ passes: boolean; output: string }> {
  const env = { ...process.env, MNIST_DIST_SIM_SEEDS: String(seeds) };
  const options = { cwd: folder, env, maxBuffer: MAX_OUTPUT_BYTES, signal };
  const command = join(root, 'node_modules/.bin/vitest');
  return await new Promise((resolve) => {
    execFile(command, ['run', '--project', 'unit', '--bail', '1', test], options, (error, stdout, stderr) =>
      resolve({ passes: error === null, output: stdout + stderr }),
    );
  });
}

// As many at once as vitest.config.ts says.
describe.concurrent('the simulator', { timeout: LIMIT_MILLISECONDS }, () => {
  it('passes on a copy of the sources', async ({ expect, signal, onTestFinished }) => {
    const { passes, output } = await runIn(copyOfSources(onTestFinished), SIMULATION, signal, 50);
    expect(passes, output).toBe(true);
  });

  it.for(guards)(
    'fails without: $name',
    async ({ file, line, without, test = SIMULATION }, { expect, signal, onTestFinished }) => {
      const copy = copyOfSources(onTestFinished);
      const path = join(copy, file);
      const text = readFileSync(path, 'utf8');
      expect(text.split(line), `${file} holds this line once: ${line}`).toHaveLength(2);
      writeFileSync(
        path,
        text.replace(line, () => without),
      );
      const { passes, output } = await runIn(copy, test, signal);
      expect(passes, `nothing noticed:\n${output}`).toBe(false);
      if (test === SIMULATION) expect(output).toContain('npm run sim -- --seed');
      // A test that cannot even run notices nothing.
      else expect(output).toMatch(/Tests .*\d+ failed/);
    },
  );
});
