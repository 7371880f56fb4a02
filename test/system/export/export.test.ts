import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { exportFiles } from '../../../cli/export/export-files.ts';
import { exportFormats } from '../../../cli/export/export-formats.ts';
import { computeLayer } from '../../../shared/arithmetic/float64-layers.ts';
import {
  denseModel,
  inputCount,
  modelOperations,
  outputValues,
  type ModelShape,
} from '../../../shared/arithmetic/model-shape.ts';
import { initialWeights } from '../../../shared/arithmetic/random.ts';
import { loadDataset } from '../../../shared/dataset/load-dataset.ts';
import { readModel } from '../../../shared/files/model-file.ts';
import { decodeTensors } from '../../../shared/files/safetensors.ts';
import { readyTensorFlow } from '../../../worker/native/engine-manifest.ts';
import { convnetModel, everyLayerModel, unusualModels } from '../../fixtures/engine/models.ts';
import { everyLayerFile } from '../../fixtures/processes/model-file.ts';
import { newRun } from '../../fixtures/processes/options.ts';
import { run } from '../../fixtures/processes/program.ts';
import { listening } from '../../fixtures/listening.ts';
import { Random } from '../../fixtures/seeded-random.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { missing, startBrowser, why } from '../browser/visitor.ts';

const file = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const IMAGES = 1000;
const FEW_IMAGES = 20;
/** The largest difference between logits, as a part of the largest logit. */
const TOLERANCE = 1e-5;

const answerSchema = z.object({ logits: z.array(z.number()), difference: z.number() });

/** A model whose exports are compared with our own logits. */
interface Case {
  readonly name: string;
  readonly model: ModelShape;
  readonly folder: string;
  /** [images, rows, columns], from 0 to 1. */
  readonly images: Float32Array;
  /** In float64. */
  readonly logits: readonly Float64Array[];
}

/** The trained model comes first. */
const cases: Case[] = [];
/** Where files stay until the last test. */
const kept = () => temporaryFolder(afterAll);

const untrained: Readonly<Record<string, ModelShape>> = {
  mlp: denseModel([28, 28], [128], 0.2, 10),
  convnet: convnetModel,
  'every layer': everyLayerModel,
  ...unusualModels,
};

/** A run with every kind of layer, exported by the command. */
async function trainedCase(runs: string): Promise<Case> {
  const options = ['--model', everyLayerFile(), '--engine', 'wasm', '--steps', '300'];
  const trained = await run(['local', ...newRun(runs), '--no-http', '-n', '1', ...options]);
  expect(trained.code, trained.output).toBe(0);
  expect(trained.output).toMatch(/^export +\S.* export \S+ --to onnx$/m);
  const folder = join(runs, 'r', 'export');
  for (const format of exportFormats) {
    const exported = await run(['export', join(runs, 'r'), '--to', format]);
    expect(exported.code, exported.output).toBe(0);
    expect(exported.output).toContain(folder);
  }
  const path = join(runs, 'r', 'model.safetensors');
  const { configuration, weights } = readModel(readFileSync(path), path);
  const { test } = await loadDataset(undefined);
  const { model } = configuration;
  const pixels = test.images.subarray(0, IMAGES * inputCount(model));
  const images = Float32Array.from(pixels, (pixel) => pixel / 255);
  return { name: 'trained', model, folder, images, logits: logitsOf(model, weights, images) };
}

function untrainedCase(name: string, model: ModelShape, folder: string, seed: number): Case {
  const random = new Random(seed);
  // Biases are not 0, as they are at the beginning of a run.
  const weights = initialWeights(1, model).map((weight) => weight + (random.next() - 0.5) / 50);
  for (const format of exportFormats)
    for (const { name: path, bytes } of exportFiles(format, { model, weights, metadata: {} })) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), bytes);
    }
  const images = Float32Array.from({ length: FEW_IMAGES * inputCount(model) }, () => random.next());
  return { name, model, folder, images, logits: logitsOf(model, weights, images) };
}

function logitsOf(model: ModelShape, weights: Float32Array, images: Float32Array): Float64Array[] {
  const pixels = inputCount(model);
  return Array.from({ length: images.length / pixels }, (_, at) => {
    let values = Float64Array.from(images.subarray(at * pixels, (at + 1) * pixels));
    for (const operation of modelOperations(model)) {
      const output = new Float64Array(outputValues(operation));
      computeLayer(operation, weights, values, output);
      values = output;
    }
    return values;
  });
}

/** Fails if logits differ by more than the tolerance, or classes that are not as close as that. */
function compare({ name, model: { classes }, logits }: Case, found: Float32Array): void {
  expect(found.length, name).toBe(logits.length * classes);
  const largest = Math.max(...logits.map((row) => Math.max(...row.map(Math.abs))));
  const tolerance = TOLERANCE * largest;
  let most = 0;
  logits.forEach((row, at) => {
    const own = found.subarray(at * classes, (at + 1) * classes);
    row.forEach((logit, i) => (most = Math.max(most, Math.abs(logit - (own[i] ?? NaN)))));
    const [first = 0, second = 0] = row.toSorted((a, b) => b - a);
    if (first - second > tolerance)
      expect(own.indexOf(Math.max(...own)), `${name}, image ${at}`).toBe(row.indexOf(first));
  });
  expect(most / largest, `${name}: the largest difference`).toBeLessThan(TOLERANCE);
}

/** The cases for a program, which writes the logits to a file of each. */
function written(format: string, exported: string, some = cases): object[] {
  return some.map(({ folder, model: { rows, columns }, images }) => {
    const path = join(folder, 'images.f32');
    writeFileSync(path, new Uint8Array(images.buffer));
    const logits = join(folder, `${format}.f32`);
    return { file: join(folder, exported), images: path, rows, columns, logits };
  });
}

function compareWritten(format: string, some = cases): void {
  for (const each of some) {
    const bytes = readFileSync(join(each.folder, `${format}.f32`));
    compare(each, new Float32Array(new Uint8Array(bytes).buffer));
  }
}

/** Runs python-logits.py and returns the metadata that it prints. */
function python(runtime: string, packages: readonly string[], list: readonly object[]): unknown {
  const { stdout, stderr, status } = spawnSync(
    'python3',
    [file('test/system/export/python-logits.py'), runtime],
    {
      encoding: 'utf8',
      input: JSON.stringify(list),
      env: {
        ...process.env,
        PYTHONPATH: packages.join(':'),
        PYTHONDONTWRITEBYTECODE: '1',
        KERAS_BACKEND: 'jax',
        JAX_PLATFORMS: 'cpu',
        // Compiling takes longer than computing.
        XLA_FLAGS: '--xla_backend_optimization_level=0',
      },
    },
  );
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

function isInstalled(...folders: readonly string[]): boolean {
  return folders.every((folder) => existsSync(join(file(`.mnist-dist/${folder}`), 'complete')));
}

const packagesOf = (...folders: readonly string[]) =>
  folders.map((folder) => file(`.mnist-dist/${folder}`));
const skipped = ' (skipped: test/install-python.sh was not run)';

describe('an exported model computes the same logits', () => {
  const trainedFolder = kept();
  const folders = Object.entries(untrained).map(([name, model]) => ({ name, model, at: kept() }));

  it('after training has printed the command', async () => {
    cases.push(await trainedCase(trainedFolder));
    for (const [seed, { name, model, at }] of folders.entries())
      cases.push(untrainedCase(name, model, at, seed));
  });

  const hasOnnx = isInstalled('onnx');
  it.skipIf(!hasOnnx)(`in ONNX Runtime${hasOnnx ? '' : skipped}`, () => {
    const list = written('onnx', 'model.onnx').toReversed();
    const metadata = python('onnx', packagesOf('onnx'), list);
    compareWritten('onnx');
    expect(metadata).toMatchObject({
      normalization: 'float32(pixel) / 255: 0 is the background, 1 is ink',
      class_names: JSON.stringify(Array.from('0123456789')),
    });
  });

  const hasKeras = isInstalled('keras');
  it.skipIf(!hasKeras)(`in Keras 3${hasKeras ? '' : skipped}`, () => {
    // Each operation is compiled for each model, which takes seconds.
    const some = cases.slice(0, 4);
    const list = written('keras', 'model.keras', some).toReversed();
    const metadata = python('keras', packagesOf('keras'), list);
    compareWritten('keras', some);
    expect(metadata).toMatchObject({ class_names: Array.from('0123456789') });
  });

  const hasBoth = isInstalled('keras', 'python');
  it.skipIf(!hasBoth)(`in the layouts of PyTorch${hasBoth ? '' : skipped}`, () => {
    const name = 'pytorch.safetensors';
    const some = cases.filter(({ folder }) => {
      const path = join(folder, name);
      return 'module' in decodeTensors(readFileSync(path), path).metadata;
    });
    // PyTorch has no module for a mean without padding whose sides differ.
    expect(cases.length - some.length).toBe(2);
    const list = written('torch', name, some).toReversed();
    const metadata = python('torch', packagesOf('keras', 'python'), list);
    compareWritten('torch', some);
    expect(metadata).toMatchObject({ class_names: JSON.stringify(Array.from('0123456789')) });
  });

  const binding = readyTensorFlow()?.binding;
  it.skipIf(binding === undefined)('in TensorFlow, as a SavedModel', () => {
    const list = join(temporaryFolder(), 'cases.json');
    writeFileSync(list, JSON.stringify(written('savedmodel', 'saved_model')));
    const script = file('test/system/export/saved-model-logits.mjs');
    const { stderr, status } = spawnSync(process.execPath, [script, binding ?? '', list], {
      encoding: 'utf8',
      env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '2' },
    });
    expect(status, stderr).toBe(0);
    compareWritten('savedmodel');
    const folder = join(cases[0]?.folder ?? '', 'saved_model', 'assets.extra');
    expect(JSON.parse(readFileSync(join(folder, 'metadata.json'), 'utf8'))).toMatchObject({
      class_names: Array.from('0123456789'),
    });
  });

  it.skipIf(missing !== undefined)(`in TensorFlow.js in Chromium${why}`, async () => {
    const library = join(
      dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs/package.json')),
      'dist/tf.min.js',
    );
    const server = createServer(({ url = '' }, response) => {
      const [, at = '', name = ''] = url.split('/');
      const folder = cases[Number(at)]?.folder;
      if (folder === undefined || name === '') response.end('<!doctype html>');
      else response.end(readFileSync(join(folder, 'tfjs', name)));
    });
    const port = await listening(server);
    const browser = await startBrowser();
    try {
      const page = await browser.newPage();
      await page.goto(`http://127.0.0.1:${port}/`);
      await page.addScriptTag({ path: library });
      for (const [at, each] of cases.entries()) {
        const { rows, columns } = each.model;
        const images = Buffer.from(each.images.buffer).toString('base64');
        const answer = await page.evaluate(
          `(async () => {
            await tf.setBackend('cpu');
            const bytes = Uint8Array.from(atob('${images}'), (each) => each.charCodeAt(0));
            const values = new Float32Array(bytes.buffer);
            const model = await tf.loadLayersModel('/${at}/model.json');
            const outputs = [model.getLayer('logits').output, model.output];
            const both = tf.model({ inputs: model.inputs, outputs });
            const count = values.length / ${rows * columns};
            const images = tf.tensor4d(values, [count, ${rows}, ${columns}, 1]);
            const [logits, probabilities] = both.predict(images);
            const difference = probabilities.sub(logits.softmax()).abs().max().dataSync()[0];
            return { logits: [...logits.dataSync()], difference };
          })()`,
        );
        const { logits, difference } = answerSchema.parse(answer);
        expect(difference).toBeLessThan(1e-5);
        compare(each, Float32Array.from(logits));
      }
    } finally {
      await browser.close();
    }
  });
});
