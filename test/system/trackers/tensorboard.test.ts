import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { childOf } from '../../fixtures/processes/children.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { quickLocal } from '../../fixtures/processes/options.ts';
import { start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const file = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const packages = file('.mnist-dist/tensorboard');
const isThere = existsSync(join(packages, 'complete'));
const why = isThere ? '' : ' (skipped: test/install-python.sh was not run)';

interface Read {
  readonly scalars: Readonly<Record<string, readonly (readonly [number, number])[]>>;
  /** The step, the width, the height and the SHA-256 of each picture. */
  readonly images: Readonly<Record<string, readonly (readonly [number, number, number, string])[]>>;
  readonly settings: Readonly<Record<string, string | number>>;
  readonly status: number;
}

it.skipIf(!isThere)(
  `TensorBoard reads one clean line of a run whose coordinator was killed${why}`,
  async () => {
    const runs = temporaryFolder();
    const options = ['--steps', '600', '-n', '2', '--checkpoint-every', '50', '--no-http'];
    const local = start([...quickLocal(runs), ...options, '--tensorboard', '--clip-norm', '1'], {
      MNIST_DIST_PICTURES: 'yes',
    });
    await local.says(/see it in TensorBoard with: tensorboard --logdir /);
    await local.says(/w1 delivered its first shard/);
    process.kill(childOf(local, 'coordinator'), 'SIGKILL');
    await local.says(/resuming after step \d+ \(term 2\)/);
    expect(await local.exited, local.output()).toBe(0);
    const directory = join(runs, 'r');
    const { stdout, stderr } = spawnSync(
      'python3',
      [file('test/system/trackers/read_events.py'), join(directory, 'tensorboard')],
      { encoding: 'utf8', env: { ...process.env, PYTHONPATH: packages } },
    );
    expect(stdout, stderr).not.toBe('');
    const { scalars, images, settings, status }: Read = JSON.parse(stdout);
    const { lines } = readRun(directory);
    const recorded = new Map(
      lines.flatMap(({ kind, step, loss }) => (kind === 'step' ? [[step, loss] as const] : [])),
    );
    const losses = scalars['loss/train'] ?? [];
    const steps = losses.map(([step]) => step);
    expect(steps).toEqual([...new Set(steps)].toSorted((a, b) => a - b));
    expect(steps.at(-1)).toBe(600);
    // A coordinator that is killed loses the records of at most a second.
    expect(steps.length).toBeGreaterThan(300);
    for (const [step, loss] of losses) expect(loss).toBe(Math.fround(recorded.get(step) ?? NaN));
    for (const tag of ['accuracy/train', 'training/learning_rate', 'training/gradient_norm'])
      expect(scalars[tag]?.map(([step]) => step)).toEqual(steps);
    expect(scalars['training/steps_per_second']?.length).toBeGreaterThan(0);
    const tests = lines.filter(({ kind }) => kind === 'evaluation');
    expect(scalars['loss/test']?.map(([, loss]) => loss)).toEqual(
      tests.map(({ loss }) => Math.fround(loss)),
    );
    const digest = (name: string) =>
      createHash('sha256')
        .update(readFileSync(join(directory, 'artifacts', name)))
        .digest('hex');
    expect(images['test/confusion_matrix']?.[0]?.[3]).toBe(digest('confusion_matrix.png'));
    expect(images['test/mistakes']?.[0]?.[3]).toBe(digest('misclassified.png'));
    expect(settings).toMatchObject({ seed: 7, batch_size: 64, optimizer: 'adam', steps: 600 });
    expect(status).toBe(1);
  },
);
