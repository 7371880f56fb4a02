import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { newRun, QUICK_RECIPE } from '../../fixtures/processes/options.ts';
import { evaluated } from '../../fixtures/processes/evaluated.ts';
import { run } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** The folder into which Debian's dataset-fashion-mnist package installs the dataset. */
const data = '/usr/share/datasets/fashion-mnist';
const isThere = existsSync(data);
const why = isThere
  ? ''
  : ' (skipped: test/install-servers.sh has not installed dataset-fashion-mnist)';

it.skipIf(!isThere)(
  `--data trains with Fashion-MNIST, and eval uses its class names${why}`,
  async () => {
    const folder = temporaryFolder();
    const trained = await run([
      'local',
      ...newRun(folder),
      '--data',
      data,
      '--no-http',
      '--pictures',
      '--engine',
      'wasm',
      ...QUICK_RECIPE,
      '--steps',
      '400',
    ]);
    expect(trained.code, trained.output).toBe(0);
    expect(trained.output).toContain('Ankle boot');
    const read = (name: string) => readFileSync(join(folder, 'r', 'artifacts', name), 'utf8');
    expect(JSON.parse(read('confusion_matrix.json')).classes).toContain('T-shirt/top');
    expect(read('report.html')).toContain('Ankle boot');
    const { per_class, confusion, accuracy } = await evaluated(join(folder, 'r'));
    expect(per_class.map((each) => each.class)).toContain('Ankle boot');
    expect(confusion).toEqual(JSON.parse(read('confusion_matrix.json')).confusion);
    // Guessing among ten classes gives an accuracy of one tenth.
    expect(accuracy).toBeGreaterThan(0.6);
  },
);
