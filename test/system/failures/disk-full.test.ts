import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemCode } from '../../../shared/disk/system-error.ts';
import { decodeTensors } from '../../../shared/files/safetensors.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { QUICK_RECIPE, quickLocal, REFERENCE } from '../../fixtures/processes/options.ts';
import { start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const hasNamespaces = spawnSync('unshare', ['-Urm', 'true']).status === 0;
const STEPS = ['--steps', '3000'];

/**
 * A small tmpfs that is visible only in its own namespace: its path inside, its path from outside,
 * and a Node that runs inside.
 */
interface SmallDisk {
  readonly inside: string;
  readonly outside: string;
  readonly node: string;
}

async function smallDisk(size: string): Promise<SmallDisk> {
  const folder = temporaryFolder();
  const inside = join(folder, 'disk');
  mkdirSync(inside);
  const mount = `mount -t tmpfs -o size=${size} none "$0" && echo mounted && exec sleep 1000`;
  const holder = spawn('unshare', ['-Urm', 'sh', '-c', mount, inside], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void holder.kill('SIGKILL'));
  await Promise.race([
    once(holder.stdout, 'data'),
    once(holder, 'exit').then(([code]) =>
      Promise.reject(new Error(`no disk could be mounted (${code})`)),
    ),
  ]);
  const node = join(folder, 'node-there');
  writeFileSync(
    node,
    `#!/bin/sh\nexec nsenter -t ${holder.pid} -U -m --preserve-credentials ` +
      `"${process.execPath}" "$@"\n`,
  );
  chmodSync(node, 0o755);
  return { inside, outside: `/proc/${holder.pid}/root${inside}`, node };
}

/** Fills the disk with one file; returns its path. */
function fill(folder: string): string {
  const file = join(folder, 'fill');
  for (let bytes = 65_536; bytes >= 1; bytes = Math.floor(bytes / 2)) {
    try {
      for (;;) writeFileSync(file, Buffer.alloc(bytes), { flag: 'a' });
    } catch (error) {
      if (systemCode(error) !== 'ENOSPC') throw error;
    }
  }
  return file;
}

describe.skipIf(!hasNamespaces)(
  'a disk that is full for a while' +
    (hasNamespaces ? '' : ' (skipped: unshare -Urm is not allowed here)'),
  () => {
    it('does not end training and does not change its bytes', async () => {
      const undisturbed = await train([...REFERENCE, ...QUICK_RECIPE, ...STEPS]);
      const { inside, outside, node } = await smallDisk('4m');
      const args = [...quickLocal(inside), ...STEPS, '--checkpoint-every', '20'];
      const local = start(args, {}, node);
      await local.says(/w1 delivered its first shard/);
      const directory = join(outside, 'r');
      const checkpoints = (): string[] => readdirSync(join(directory, 'checkpoints')).toSorted();
      await vi.waitUntil(
        () => readdirSync(directory).includes('checkpoints') && checkpoints().length === 2,
        {
          timeout: 60_000,
        },
      );

      const file = fill(outside);
      await local.says(/cannot write the checkpoint of step \d+: .*ENOSPC/);
      const [, name] = await local.says(
        /the disk is full: .*\/(metrics|events)\.jsonl is waiting for space/,
      );
      const left = checkpoints();
      expect(left).toHaveLength(2);
      for (const each of left)
        expect(
          decodeTensors(readFileSync(join(directory, 'checkpoints', each)), each).tensors,
        ).toHaveLength(12);
      expect(local.output()).not.toMatch(/ has space again/);
      rmSync(file);

      await local.says(new RegExp(`the disk has space again: writing to .*${name}.jsonl resumes`));
      expect(await local.exited, local.output()).toBe(0);
      const run = readRun(directory);
      expect(run.modelSha256).toBe(undisturbed.modelSha256);
      expect(run.record.chain).toBe(undisturbed.record.chain);
      expect(run.lines.filter(({ kind }) => kind === 'step')).toHaveLength(3000);
      expect(run.events.some(({ event }) => event === 'checkpoint_failed')).toBe(true);
      expect(checkpoints()).not.toEqual(left);
      expect(readdirSync(join(directory, '.drafts-1'))).toEqual(['ended.json']);
    });
  },
);
