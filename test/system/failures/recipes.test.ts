import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { loadDataset } from '../../../shared/dataset/load-dataset.ts';
import { imagesFile, labelsFile } from '../../fixtures/dataset/idx-files.ts';
import { findChild, gone } from '../../fixtures/processes/children.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun } from '../../fixtures/processes/finished-run.ts';
import { everyLayerFile } from '../../fixtures/processes/model-file.ts';
import { newRun } from '../../fixtures/processes/options.ts';
import { run, start, until } from '../../fixtures/processes/program.ts';
import { stepsWritten } from '../../fixtures/processes/steps-written.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const TRAIN_ROWS = 600;
const TEST_ROWS = 120;
/** Every option of a recipe. 480 rows are 14 steps of an epoch; its last batch has 12 rows. */
const EVERY_OPTION = (
  '--batch-size 36 --virtual-shards 8 --epochs 8 --seed 3 --optimizer adamw ' +
  '--learning-rate 0.003 --weight-decay 0.01 --clip-norm 1 --lr-schedule cosine --warmup 10 ' +
  '--augment shift=2,rotate=10,zoom=0.1 --label-smoothing 0.1 --validation-split 0.2 ' +
  '--early-stopping 4 --min-delta 0.001 --keep-best'
).split(' ');

/** The first images of MNIST, as a dataset of its own. */
async function fewImages(): Promise<string> {
  const folder = temporaryFolder();
  const { train: all, test } = await loadDataset(undefined);
  for (const [name, { images, labels }, rows] of [
    ['train', all, TRAIN_ROWS],
    ['t10k', test, TEST_ROWS],
  ] as const) {
    const pixels = imagesFile(rows, 28, 28, (i) => images[i] ?? 0);
    writeFileSync(join(folder, `${name}-images-idx3-ubyte`), pixels);
    const few = labelsFile([...labels.subarray(0, rows)]);
    writeFileSync(join(folder, `${name}-labels-idx1-ubyte`), few);
  }
  return folder;
}

/** Trains with three workers, and kills a worker and the coordinator on the way. */
async function trainDisturbed(options: readonly string[]): Promise<string> {
  const runs = temporaryFolder();
  const directory = join(runs, 'r');
  const local = start(['local', ...newRun(runs), ...options, '-n', '3', '--checkpoint-every', '9']);
  for (const [step, victim] of [
    [5, 'w1'],
    [20, 'coordinator'],
    [40, 'w0'],
  ] as const) {
    const child = await until(
      () => (stepsWritten(directory) < step ? undefined : findChild(local, victim)),
      local,
    );
    process.kill(child.pid, 'SIGKILL');
    await gone([child]);
  }
  expect(await local.exited, local.output()).toBe(0);
  return directory;
}

it.each(['convnet', 'every layer'])(
  'every option of a recipe gives the same bytes for any number of workers and any kill: %s',
  async (name) => {
    const folder = temporaryFolder();
    const model = name === 'convnet' ? name : everyLayerFile();
    const common = ['--data', await fewImages(), '--model', model, '--no-http', '--no-pictures'];
    const few = ['local', ...newRun(folder, 'init'), ...common, '--steps', '3', '-n', '1'];
    expect((await run(few)).code).toBe(0);
    const options = [...common, ...EVERY_OPTION, '--init', join(folder, 'init')];
    const undisturbed = await train([...options, '-n', '1']);
    for (const workers of ['2', '5'])
      expectSame(await train([...options, '-n', workers]), undisturbed);

    const directory = await trainDisturbed(options);
    expectSame(readRun(directory), undisturbed);
    const verified = await run(['verify', directory, '-n', '2']);
    expect(verified.code, verified.output).toBe(0);
    changeDigit(join(directory, 'metrics.jsonl'));
    const refused = await run(['verify', directory, '-n', '2']);
    expect(refused.code, refused.output).toBe(errorTable.DIFFERS.exit);
  },
);

/** Changes a digit of the first evaluation's loss. */
function changeDigit(path: string): void {
  const text = readFileSync(path, 'utf8');
  const line = text.split('\n').find((each) => each.includes('"kind":"evaluation"')) ?? '';
  const changed = line.replace(
    /("loss":\d\.\d)(\d)/,
    (_, start: string, digit: string) => start + String((Number(digit) + 1) % 10),
  );
  expect(changed).not.toBe(line);
  writeFileSync(path, text.replace(line, changed));
}
