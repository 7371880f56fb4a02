import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { childOf } from '../../fixtures/processes/children.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, quickLocal, REFERENCE } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const STEPS = ['--steps', '1200'];
const hasNamespaces = spawnSync('unshare', ['-Uru', 'hostname', 'elsewhere']).status === 0;

/** A command that runs Node under another host's name. */
function nodeElsewhere(): string {
  const node = join(temporaryFolder(), 'node-elsewhere');
  const there = `hostname elsewhere && exec "$0" "$@"`;
  writeFileSync(node, `#!/bin/sh\nexec unshare -Uru sh -c '${there}' "${process.execPath}" "$@"\n`);
  chmodSync(node, 0o755);
  return node;
}

describe('a coordinator', () => {
  it.skipIf(!hasNamespaces)(
    'that was suspended and whose run another host took over changes nothing when it continues' +
      (hasNamespaces ? '' : ' (skipped: unshare -Uru is not allowed here)'),
    async () => {
      const undisturbed = await train([...REFERENCE, ...QUICK_RECIPE, ...STEPS]);
      const runs = temporaryFolder();
      const directory = join(runs, 'r');
      const first = start([...quickLocal(runs), ...STEPS, '--checkpoint-every', '50']);
      await first.says(/w1 delivered its first shard/);
      await vi.waitUntil(() => statSync(join(directory, 'metrics.jsonl')).size > 1000, {
        timeout: 60_000,
      });
      const coordinator = childOf(first, 'coordinator');
      process.kill(coordinator, 'SIGSTOP');

      const resume = ['local', '--resume', directory, '--engine', 'reference', '--port', '0'];
      const refused = await run(resume, {}, nodeElsewhere());
      expect(refused.code, refused.output).toBe(errorTable.LOCKED.exit);
      expect(refused.output).toMatch(/--take-over/);
      const second = await run([...resume, '--take-over'], {}, nodeElsewhere());
      expect(second.code, second.output).toBe(0);
      expect(second.output).toMatch(/resuming after step \d+ \(term 2\)/);

      process.kill(coordinator, 'SIGCONT');
      expect(await first.exited, first.output()).toBe(errorTable.LOCKED.exit);
      expect(first.output()).toMatch(/was taken over by another coordinator/);
      const left = readRun(directory);
      expect(left.record).toMatchObject({
        state: 'finished',
        term: 2,
        chain: undisturbed.record.chain,
      });
      expect(left.modelSha256).toBe(undisturbed.modelSha256);
      const steps = left.lines.filter(({ kind }) => kind === 'step').map(({ step }) => step);
      expect(steps).toEqual(Array.from({ length: 1200 }, (_, i) => i + 1));
    },
  );

  it('is restarted when it dies before its first run.json, even on resume', async () => {
    const runs = temporaryFolder();
    mkdirSync(join(runs, 'r', 'artifacts'), { recursive: true });
    writeFileSync(join(runs, 'r', 'metrics.jsonl'), '');
    const local = start([...quickLocal(runs), '--steps', '20']);
    const coordinator = await vi.waitFor(() => childOf(local, 'coordinator'), {
      timeout: 60_000,
      interval: 5,
    });
    process.kill(coordinator, 'SIGKILL');
    const isBegun = existsSync(join(runs, 'r', 'run.json'));
    await local.says(/coordinator was ended by signal 9; restarting it/);
    expect(await local.exited, local.output()).toBe(0);
    const { record, lines } = readRun(join(runs, 'r'));
    expect(record).toMatchObject({ state: 'finished', term: isBegun ? 2 : 1 });
    expect(lines.filter(({ kind }) => kind === 'step')).toHaveLength(20);
  });
});
