import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { train } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { everyLayerFile } from '../../fixtures/processes/model-file.ts';
import { newRun } from '../../fixtures/processes/options.ts';
import { run } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

// The last shard of a batch of 36 rows has one real row.
const SHORT = ['--steps', '4', '--batch-size', '36', '--virtual-shards', '8'];

// failures/recipes.test.ts does the same with TensorFlow.
it('wasm gives the same bytes for any number of workers', async () => {
  const options = ['--model', everyLayerFile(), '--engine', 'wasm', ...SHORT];
  const [one, three] = [await train([...options, '-n', '1']), await train([...options, '-n', '3'])];
  expect(three.modelSha256).toBe(one.modelSha256);
});

it('a run keeps its model when it is resumed, and its file evaluates and verifies', async () => {
  const runs = temporaryFolder();
  const file = everyLayerFile();
  const first = ['local', ...newRun(runs), '--model', file, '--engine', 'wasm', ...SHORT];
  expect((await run(first)).code).toBe(0);
  writeFileSync(file, '- flatten\n');
  const directory = join(runs, 'r');
  const resume = ['local', '--resume', directory, '--no-http', '--no-pictures', '--steps', '6'];
  const refused = await run([...resume, '--model', file]);
  expect(refused.code).toBe(2);
  expect(refused.output).toContain('layer 1 of --model is conv2d 6 3x3 same relu, not flatten');
  const resumed = await run(resume);
  expect(resumed.code, resumed.output).toBe(0);
  const verified = await run(['verify', directory, '-n', '2']);
  expect(verified.output).toContain('verified 6 steps');
  const evaluated = await run(['eval', join(directory, 'model.safetensors'), '--no-pictures']);
  expect(evaluated.output).toMatch(/Accuracy \d/);
});

it('a run begins with the weights of another, keeps them, and verifies', async () => {
  const runs = temporaryFolder();
  const wasm = ['--engine', 'wasm', ...SHORT];
  expect((await run(['local', ...newRun(runs, 'first'), ...wasm])).code).toBe(0);
  const init = ['--init', join(runs, 'first')];
  const hashes = new Set<string>();
  for (const workers of ['1', '3']) {
    const second = ['local', ...newRun(runs, `with-${workers}`), ...wasm, ...init, '-n', workers];
    const { code, output } = await run(second);
    expect(code, output).toBe(0);
    expect(output).toContain('starting with the weights of');
    hashes.add(readRun(join(runs, `with-${workers}`)).modelSha256);
  }
  expect(hashes.size).toBe(1);
  rmSync(join(runs, 'first'), { recursive: true });
  const verified = await run(['verify', join(runs, 'with-1'), '-n', '2']);
  expect(verified.output).toContain('verified 4 steps');
  const other = ['local', ...newRun(runs, 'other'), ...wasm, '--hidden', '8'];
  const refused = await run([...other, '--init', join(runs, 'with-1')]);
  expect(refused.code).toBe(2);
  expect(refused.output).toContain('784 - 128 - 10 for images of 28 x 28');
});

it('a model that does not fit is rejected with its line, before any process starts', async () => {
  const file = join(temporaryFolder(), 'wrong.yaml');
  writeFileSync(file, '- conv2d: {filters: 3, kernel_size: 3}\n- dense: {units: 3}\n');
  const { code, output } = await run(['local', '--model', file]);
  expect(code).toBe(2);
  expect(output).toContain('wrong.yaml:2: layer 2 (dense) needs a vector');
});
