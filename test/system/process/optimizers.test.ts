import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Schedule } from '../../../shared/arithmetic/learning-rate.ts';
import { stateNames, type Optimizer } from '../../../shared/arithmetic/optimizer.ts';
import { createKernels } from '../../../shared/kernels/kernels.ts';
import { createUpdate, type UpdateRecipe } from '../../../shared/kernels/update.ts';
import { denseModel, type ModelShape } from '../../../shared/arithmetic/model-shape.ts';
import { createFloat64Model } from '../../../worker/engines/float64.ts';

const file = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const packages = file('.mnist-dist/keras');
const isThere = existsSync(join(packages, 'complete'));
const why = isThere ? '' : ' (skipped: test/install-python.sh was not run)';

const STEPS = 20;
const model = denseModel([1, 3], [1], 0, 2);
/** The first layer: a kernel [3, 1] and a bias [1]; Keras trains only these. */
const [KERNEL, BIAS] = [3, 1];
const answerSchema = z.object({
  version: z.string(),
  weights: z.array(z.tuple([z.array(z.number()), z.array(z.number())])),
  losses: z.array(z.object({ loss: z.number(), gradient: z.array(z.number()) })),
});

interface Case {
  readonly ours: Omit<UpdateRecipe, 'model'>;
  /** The optimizer of Keras and its arguments. */
  readonly theirs: object;
}

const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
const theirAdam = { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7 };
const sgd = (momentum: number, nesterov: boolean): Optimizer => ({
  kind: 'sgd',
  momentum,
  nesterov,
});

function caseOf(
  optimizer: Optimizer,
  theirs: object,
  more: Partial<Omit<UpdateRecipe, 'optimizer'>> = {},
  theirMore: object = {},
): Case {
  const plain = { learningRate: 0.01, warmup: 0, weightDecay: 0 };
  const schedule: Schedule = { kind: 'constant' };
  return {
    ours: { optimizer, schedule, ...plain, ...more },
    theirs: { learning_rate: 0.01, ...theirs, ...theirMore },
  };
}

const cosine: Schedule = { kind: 'cosine', final: 0.1, horizon: 15 };
const cases: readonly Case[] = [
  caseOf({ kind: 'adam', ...adam }, { class: 'Adam', ...theirAdam }),
  caseOf(
    { kind: 'adamw', ...adam },
    { class: 'AdamW', ...theirAdam, weight_decay: 0.1 },
    { weightDecay: 0.1 },
  ),
  caseOf(sgd(0, false), { class: 'SGD' }),
  caseOf(sgd(0.9, false), { class: 'SGD', momentum: 0.9 }),
  caseOf(sgd(0.9, true), { class: 'SGD', momentum: 0.9, nesterov: true }),
  caseOf(
    sgd(0.9, false),
    { class: 'SGD', momentum: 0.9, weight_decay: 0.05, global_clipnorm: 1.5 },
    { weightDecay: 0.05, clipNorm: 1.5 },
  ),
  caseOf(
    { kind: 'adamw', ...adam },
    { class: 'AdamW', ...theirAdam, weight_decay: 0.1, global_clipnorm: 1 },
    { weightDecay: 0.1, clipNorm: 1, schedule: cosine },
    {
      learning_rate: {
        class: 'CosineDecay',
        initial_learning_rate: 0.01,
        decay_steps: 15,
        alpha: 0.1,
      },
    },
  ),
  ...(['step', 'exponential'] as const).map((kind) =>
    caseOf(
      sgd(0, false),
      { class: 'SGD' },
      { schedule: { kind, decay: 0.7, every: 4 } },
      {
        learning_rate: {
          class: 'ExponentialDecay',
          initial_learning_rate: 0.01,
          decay_steps: 4,
          decay_rate: 0.7,
          staircase: kind === 'step',
        },
      },
    ),
  ),
  caseOf(
    sgd(0, false),
    { class: 'SGD' },
    { schedule: { kind: 'piecewise', boundaries: [5, 12], rates: [0.1, 0.001] } },
    {
      learning_rate: {
        class: 'PiecewiseConstantDecay',
        // Keras counts steps from 0, and changes the rate after the step of the boundary.
        boundaries: [4, 11],
        values: [0.01, 0.1, 0.001],
      },
    },
  ),
];

const initial = Float32Array.of(0.5, -0.25, 0.125, 0.75, 0, 0, 0, 0);

/** Gradients of all sizes; those of the second layer, which Keras does not have, are 0. */
function gradientOf(step: number): Float32Array {
  return initial.map((_, i) => (i < KERNEL + BIAS ? 2 * Math.sin(1 + 3.1 * step + 1.7 * i) : 0));
}

/** The first layer after 20 steps. */
function train(recipe: UpdateRecipe): number[] {
  const kernels = createKernels(4096);
  const place = () => kernels.allocate(4 * initial.length);
  let [from, to] = [place(), place()];
  const gradient = place();
  const state = stateNames(recipe.optimizer).map(place);
  const update = createUpdate(kernels, recipe);
  kernels.floats(from, initial.length).set(initial);
  for (let step = 1; step <= STEPS; step++) {
    kernels.floats(gradient, initial.length).set(gradientOf(step));
    update({ step, from, to, gradient, state });
    [from, to] = [to, from];
  }
  return [...kernels.floats(from, KERNEL + BIAS)];
}

const SMOOTHINGS = [0, 0.1, 0.5];
const softmaxRegression: ModelShape = {
  rows: 1,
  columns: 3,
  layers: [{ kind: 'flatten' }],
  classes: 4,
};
/** Five samples and the weights of a dense layer: a kernel [3, 4] and a bias [4]. */
const lossInputs = Float32Array.from({ length: 15 }, (_, i) => Math.sin(1 + 2.3 * i));
const lossLabels = Int32Array.of(3, 0, 1, 1, 2);
const lossWeights = Float32Array.from({ length: 16 }, (_, i) => Math.cos(1.9 * i));

function rowsOf(values: Float32Array, width: number): number[][] {
  return Array.from({ length: values.length / width }, (_, row) => [
    ...values.subarray(row * width, (row + 1) * width),
  ]);
}

function lossOf(labelSmoothing: number): { loss: number; gradient: Float64Array } {
  const gradient = new Float64Array(lossWeights.length);
  const batch = {
    shards: 1,
    rowsPerShard: lossLabels.length,
    inputs: lossInputs,
    labels: lossLabels,
    masks: [],
    scale: new Float32Array(lossLabels.length).fill(1 / lossLabels.length),
  };
  const model = createFloat64Model(softmaxRegression, labelSmoothing);
  return { loss: model.gradient(lossWeights, batch, gradient).loss, gradient };
}

describe.skipIf(!isThere)(`Keras${why}`, () => {
  it('computes the same weights in 20 steps, and the same loss with label smoothing', () => {
    const split = (values: Float32Array) => [
      Array.from(values.subarray(0, KERNEL), (value) => [value]),
      [...values.subarray(KERNEL, KERNEL + BIAS)],
    ];
    const [kernel, bias] = split(initial);
    const gradients = Array.from({ length: STEPS }, (_, i) => split(gradientOf(i + 1)));
    const updates = cases.map(({ theirs }) => ({ optimizer: theirs, gradients, kernel, bias }));
    const losses = SMOOTHINGS.map((label_smoothing) => ({
      label_smoothing,
      inputs: rowsOf(lossInputs, 3),
      labels: [...lossLabels],
      kernel: rowsOf(lossWeights.subarray(0, 12), 4),
      bias: [...lossWeights.subarray(12)],
    }));
    const { stdout, stderr } = spawnSync('python3', [file('test/system/process/optimizers.py')], {
      encoding: 'utf8',
      input: JSON.stringify({ updates, losses }),
      env: { ...process.env, PYTHONPATH: packages, KERAS_BACKEND: 'jax', JAX_PLATFORMS: 'cpu' },
    });
    const answer = answerSchema.safeParse(stdout === '' ? undefined : JSON.parse(stdout));
    expect(answer.success, stderr).toBe(true);
    expect(answer.data?.version).toMatch(/^3\./);
    cases.forEach(({ ours }, i) => {
      const theirs = answer.data?.weights[i]?.flat() ?? [];
      train({ model, ...ours }).forEach((value, at) =>
        expect(Math.abs(value - (theirs[at] ?? NaN)), JSON.stringify(ours)).toBeLessThan(1e-6),
      );
    });
    SMOOTHINGS.forEach((labelSmoothing, i) => {
      const ours = lossOf(labelSmoothing);
      const theirs = answer.data?.losses[i];
      expect(Math.abs(ours.loss - (theirs?.loss ?? NaN))).toBeLessThan(1e-6);
      ours.gradient.forEach((value, at) =>
        expect(Math.abs(value - (theirs?.gradient[at] ?? NaN))).toBeLessThan(1e-6),
      );
    });
  });
});
