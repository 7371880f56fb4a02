import { spawnSync } from 'node:child_process';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { chooseEngine } from '../../../../cli/processes/engine-choice.ts';
import { createLogger } from '../../../../cli/terminal/log.ts';
import { Output } from '../../../../cli/terminal/output.ts';
import { ensureTensorFlow } from '../../../../worker/native/ensure.ts';
import { mountOf, requireLoadable } from '../../../../worker/native/loadable.ts';
import { readyTensorFlow } from '../../../../worker/native/engine-manifest.ts';
import { executable } from '../../../fixtures/processes/program.ts';
import { fakeEngine } from '../../../fixtures/engine/fake-engine.ts';
import { standIns } from '../../../fixtures/engine/fake-programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const choose = (engine: 'auto' | 'tensorflow', lines: string[] = []) =>
  chooseEngine(
    { engine, device: 'cpu' },
    createLogger({
      level: 'warn',
      format: 'text',
      destination: new Output({ write: (line) => lines.push(line) }, {}),
    }),
  );

describe('a TensorFlow', () => {
  it.each([
    [
      'whose addon is not a library',
      { support: 'x'.repeat(100) },
      /cannot be loaded on this machine: .*(ELF|file too short)/,
    ],
    [
      'whose binding is missing',
      { isTried: false },
      /cannot be loaded on this machine: .*does not work \(exit 1\)/,
    ],
  ])(
    '%s causes an error if the user chose it, and is replaced by wasm otherwise',
    async (_what, wishes, why) => {
      const cache = fakeEngine('cpu', wishes);
      const refusal = {
        code: 'ENGINE',
        message: expect.stringMatching(why),
        fix: expect.stringMatching(/wasm/),
      };
      await expect(choose('tensorflow')).rejects.toMatchObject(refusal);
      const lines: string[] = [];
      expect(await choose('auto', lines)).toMatchObject({ engine: 'wasm' });
      expect(lines).toEqual([
        expect.stringMatching(/using the slower wasm engine: TensorFlow cannot be loaded on this/),
      ]);
      if ('isTried' in wishes) expect(existsSync(join(cache, 'trials'))).toBe(false);
    },
  );

  it('is tested only once per machine', async () => {
    fakeEngine('cpu');
    expect(await choose('auto')).toMatchObject({ engine: 'tensorflow' });
  });

  it('is tested again once an addon has other bytes', async () => {
    fakeEngine('cpu');
    const native = readyTensorFlow();
    expect(native).toBeDefined();
    if (native === undefined) return;
    writeFileSync(join(native.moduleDirectory, 'graphs.node'), 'damaged');
    await expect(requireLoadable(native)).rejects.toThrow(/cannot be loaded .*does not work/);
  });

  it('counts as tested for a user whose cache is empty, as in an image', async () => {
    const common = fakeEngine('cpu');
    const binding = readyTensorFlow()?.moduleDirectory ?? '';
    vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
    const linked = readyTensorFlow(binding);
    expect(linked).toBeDefined();
    if (linked !== undefined) await requireLoadable(linked);
    rmSync(join(common, 'trials'), { recursive: true });
    if (linked !== undefined) await expect(requireLoadable(linked)).rejects.toThrow(/cannot be/);
  });
});

it('mountOf returns the innermost mount of a path, and the last of several at one point', () => {
  const folder = temporaryFolder();
  const mounts = join(folder, 'mountinfo');
  const line = (point: string, options: string) =>
    `36 35 98:0 / ${point} ${options} shared:1 - ext4 /dev/x rw`;
  const escaped = join(folder, 'a b').replaceAll(' ', '\\040');
  writeFileSync(join(folder, 'a b'), '');
  writeFileSync(
    mounts,
    [
      line('/', 'rw'),
      line(folder, 'rw,noexec'),
      line(`${folder}x`, 'ro'),
      line(escaped, 'rw,noexec'),
      line(escaped, 'rw,nosuid'),
    ].join('\n'),
  );
  expect(mountOf(folder, mounts)).toEqual({ point: folder, options: ['rw', 'noexec'] });
  expect(mountOf(join(folder, 'a b'), mounts)).toEqual({
    point: join(folder, 'a b'),
    options: ['rw', 'nosuid'],
  });
  expect(mountOf('/', mounts)?.options).toEqual(['rw']);
  expect(mountOf(join(folder, 'nothing'), mounts)).toBeUndefined();
});

const canMount = spawnSync('unshare', ['-m', 'true']).status === 0;
const skipped = canMount ? '' : ' (skipped: no mount namespaces here)';

it.skipIf(!canMount)(
  `TensorFlow is not set up or loaded on a file system that is mounted noexec${skipped}`,
  () => {
    const cache = fakeEngine('cpu');
    standIns({}, (process.env['PATH'] ?? '').split(':'));
    const worker =
      `node ${executable} worker --max-wait-time 0 ` + '--coordinator ws://127.0.0.1:1 --engine';
    // The bind mount keeps the files. The tmpfs is empty, so set-up would start on it.
    const script = `mount --bind "$1" "$1" && mount -o remount,bind,noexec "$1"
${worker} tensorflow; echo "code=$?"; ${worker} auto; echo "code=$?"
mount -t tmpfs -o noexec none "$1"; node ${executable} setup --tensorflow "$1"; echo "code=$?"`;
    const args = ['-m', 'sh', '-c', script, 'sh', cache];
    const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8', env: process.env });
    expect(stdout, stderr).toBe('code=11\ncode=16\ncode=10\n');
    expect(stderr).toContain(`it is on ${cache}, which is mounted noexec`);
    expect(stderr).toContain('using the slower wasm engine');
    expect(stderr).toContain(`the cache ${cache} is on ${cache}, which is mounted noexec`);
  },
);

it('a cache on a file system that is not mounted noexec is set up', async () => {
  fakeEngine('cpu');
  await expect(ensureTensorFlow({}, () => undefined)).resolves.toMatchObject({ source: 'fake' });
});
