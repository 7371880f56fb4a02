import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { learningRateOf, type Schedule } from '../../../../shared/arithmetic/learning-rate.ts';
import {
  denseModel,
  namedTensors,
  parameterCount,
} from '../../../../shared/arithmetic/model-shape.ts';
import { stateNames, type Optimizer } from '../../../../shared/arithmetic/optimizer.ts';
import { createKernels } from '../../../../shared/kernels/kernels.ts';
import { check } from '../../../../shared/kernels/reference-kernels.ts';
import { referenceUpdate } from '../../../../shared/kernels/reference-update.ts';
import { createUpdate, type UpdateRecipe } from '../../../../shared/kernels/update.ts';
import { expectSameBits } from './values.ts';

const model = denseModel([1, 5], [4], 0, 3);
const count = parameterCount(model);
const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
const plain: UpdateRecipe = {
  model,
  optimizer: { kind: 'adam', ...adam },
  learningRate: 0.01,
  schedule: { kind: 'constant' },
  warmup: 0,
  weightDecay: 0,
};
const optimizers: readonly Optimizer[] = [
  { kind: 'adam', ...adam },
  { kind: 'adamw', ...adam },
  { kind: 'sgd', momentum: 0, nesterov: false },
  { kind: 'sgd', momentum: 0.9, nesterov: false },
  { kind: 'sgd', momentum: 0.9, nesterov: true },
];

/** A recipe's update on memory of its own. */
function updater(recipe: UpdateRecipe, weights: Float32Array) {
  const kernels = createKernels(65_536);
  const place = () => kernels.allocate(4 * count);
  let [from, to] = [place(), place()];
  const gradient = place();
  const state = stateNames(recipe.optimizer).map(place);
  const update = createUpdate(kernels, recipe);
  kernels.floats(from, count).set(weights);
  return {
    state: () => state.map((at) => kernels.floats(at, count)),
    weights: () => kernels.floats(from, count),
    gradient: () => kernels.floats(gradient, count),
    step(step: number, values: Float32Array) {
      kernels.floats(gradient, count).set(values);
      const updated = update({ step, from, to, gradient, state });
      [from, to] = [to, from];
      return updated;
    },
  };
}

/** A deterministic vector of P numbers between -1 and 1. */
function vector(seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(1 + seed * 7.3 + i * 1.7));
}

/** The same with numbers that do not depend on Math.sin, which may differ between versions. */
function exactVector(seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const word = Math.imul(seed * 1000 + i + 1, 0x9e3779b1);
    return (word ^ (word >>> 15)) / 2 ** 31;
  });
}

describe('an update', () => {
  test('matches the reference update bit for bit, for any recipe', () => {
    const schedule = fc.constantFrom<Schedule>(
      { kind: 'constant' },
      { kind: 'step', decay: 0.7, every: 2 },
      { kind: 'exponential', decay: 0.5, every: 3 },
      { kind: 'cosine', final: 0.1, horizon: 5 },
      { kind: 'piecewise', boundaries: [2, 4], rates: [0.5, 1e-6] },
    );
    const recipes = fc.record({
      model: fc.constant(model),
      optimizer: fc.constantFrom(...optimizers),
      learningRate: fc.constantFrom(0.001, 0.1, 1e-30),
      schedule,
      warmup: fc.constantFrom(0, 3),
      weightDecay: fc.constantFrom(0, 0.004, 50),
      clipNorm: fc.constantFrom(undefined, 1e-30, 0.5, 100),
    });
    fc.assert(
      fc.property(recipes, fc.constantFrom(1, 1e-37, 1e38), (recipe, size) => {
        const weights = vector(0);
        const wasm = updater(recipe, weights);
        const state = wasm.state().map((values) => values.slice());
        for (let step = 1; step <= 7; step++) {
          const gradient = vector(step).map((value) => value * size);
          const { checksum } = wasm.step(step, gradient);
          referenceUpdate(recipe, step, weights, gradient, state);
          expectSameBits(wasm.weights(), weights);
          expectSameBits(wasm.gradient(), gradient);
          wasm.state().forEach((values, i) => expectSameBits(values, state[i] ?? weights));
          expect(checksum).toBe(check(weights).checksum);
        }
      }),
      { numRuns: 200 },
    );
  });

  test.each(optimizers)('stays close to float64 over 20 steps of %j', (optimizer) => {
    const schedule: Schedule = { kind: 'cosine', final: 0.1, horizon: 15 };
    const weightDecay = optimizer.kind === 'adam' ? 0 : 0.1;
    const recipe = { ...plain, optimizer, schedule, warmup: 3, weightDecay, clipNorm: 2 };
    const wasm = updater(recipe, vector(0));
    const exact = new Oracle(recipe, [...vector(0)]);
    for (let step = 1; step <= 20; step++) {
      const gradient = vector(step);
      wasm.step(step, gradient);
      exact.step(step, [...gradient]);
    }
    const error = Math.max(
      ...wasm.weights().map((value, i) => Math.abs(value - (exact.weights[i] ?? NaN))),
    );
    expect(error).toBeLessThan(2e-6);
  });

  // A second implementation with numpy, written from docs/spec/arithmetic.md, gave the same bytes.
  test.each([
    [0, '3f01b684d8825314106853a13cc5491bb074495af60685c81d2d4ce9a6ffe203'],
    [1, '1c5634fb0df0e368daea85d18ba5da8604bb19c8f6fff872e0dc3cc2dd7f6209'],
    [2, '3a9a731e3f7c03d4f4f3219d924229520d9102945377bb95b0e6d4272d41ee5a'],
    [3, '22bf772819bc43e7775f96a897860b81a7025e77210f114cbff05057999b10ec'],
    [4, 'b2c96991cf8d2d49758a6be02c8b299cfe1cab9da0c9fc46ae386b950409c2d9'],
  ])('gives the golden bytes after 20 steps of optimizer %i', (index, golden) => {
    const optimizer = optimizers[index] ?? plain.optimizer;
    const schedule: Schedule = { kind: 'exponential', decay: 0.7, every: 6 };
    const weightDecay = optimizer.kind === 'adam' ? 0 : 0.1;
    const recipe = { ...plain, optimizer, schedule, warmup: 3, weightDecay, clipNorm: 2 };
    const wasm = updater(recipe, exactVector(0));
    for (let step = 1; step <= 20; step++) wasm.step(step, exactVector(step));
    expect(createHash('sha256').update(wasm.weights()).digest('hex')).toBe(golden);
  });

  test('clips only a norm above the limit, and returns the norm before', () => {
    const at = (limit: number, values: Float32Array) => {
      const wasm = updater({ ...plain, clipNorm: limit }, vector(0));
      const { norm } = wasm.step(1, values);
      return { norm, gradient: [...wasm.gradient()] };
    };
    const values = new Float32Array(count);
    values.set([3, 4]);
    expect(at(5, values)).toEqual({ norm: 5, gradient: [...values] });
    const clipped = at(2.5, values);
    expect(clipped.norm).toBe(5);
    expect(clipped.gradient.slice(0, 2)).toEqual([1.5, 2]);
    // A norm of 0 is not divided by.
    expect(at(2.5, new Float32Array(count)).gradient.every((value) => value === 0)).toBe(true);
  });

  test('keeps values that are not finite, so that the run notices them', () => {
    const infinite = vector(1);
    infinite[3] = Infinity;
    for (const optimizer of optimizers) {
      const wasm = updater({ ...plain, optimizer, clipNorm: 1 }, vector(0));
      wasm.step(1, infinite);
      expect(wasm.weights()[3]).toBeNaN();
    }
    const wasm = updater({ ...plain, clipNorm: 1 }, vector(0));
    wasm.step(
      1,
      vector(1).map((value, i) => (i === 3 ? NaN : value)),
    );
    expect(wasm.weights()[3]).toBeNaN();
  });

  test('decays kernels but not biases, by the rate of the schedule', () => {
    const recipe: UpdateRecipe = {
      ...plain,
      optimizer: { kind: 'sgd', momentum: 0, nesterov: false },
      weightDecay: 0.5,
      warmup: 2,
      learningRate: 0.5,
    };
    const wasm = updater(recipe, new Float32Array(count).fill(1));
    wasm.step(1, new Float32Array(count));
    for (const { name, offset, length } of namedTensors(model)) {
      const expected = name.endsWith('.kernel') ? 1 - 0.25 * 0.5 : 1;
      expect(wasm.weights().slice(offset, offset + length)).toEqual(
        new Float32Array(length).fill(expected),
      );
    }
  });

  test('reports no norm without a limit', () => {
    expect(updater(plain, vector(0)).step(1, vector(1)).norm).toBeUndefined();
  });
});

/** The formulas in float64, written without the code under test (except for the schedule). */
class Oracle {
  readonly weights: number[];
  readonly #recipe: UpdateRecipe;
  readonly #first: number[];
  readonly #second: number[];

  constructor(recipe: UpdateRecipe, weights: number[]) {
    this.#recipe = recipe;
    this.weights = weights;
    this.#first = weights.map(() => 0);
    this.#second = weights.map(() => 0);
  }

  step(step: number, gradient: readonly number[]): void {
    const { optimizer, weightDecay, clipNorm = Infinity } = this.#recipe;
    const rate = learningRateOf(this.#recipe, step);
    const norm = Math.hypot(...gradient);
    const scale = Math.min(1, clipNorm / norm);
    const isKernel = (i: number) =>
      namedTensors(model).some(
        ({ name, offset, length }) => i >= offset && i < offset + length && name.includes('kernel'),
      );
    this.weights.forEach((before, i) => {
      const g = scale * (gradient[i] ?? 0);
      const weight = isKernel(i) ? before * (1 - rate * weightDecay) : before;
      this.weights[i] = weight + this.#change(optimizer, i, g, rate, step);
    });
  }

  #change(optimizer: Optimizer, i: number, g: number, rate: number, step: number): number {
    const [first, second] = [this.#first, this.#second];
    if (optimizer.kind === 'sgd') {
      const { momentum, nesterov } = optimizer;
      const v = (first[i] = momentum * (first[i] ?? 0) - rate * g);
      return nesterov ? momentum * v - rate * g : v;
    }
    const { beta1, beta2, epsilon } = optimizer;
    const m = (first[i] = beta1 * (first[i] ?? 0) + (1 - beta1) * g);
    const v = (second[i] = beta2 * (second[i] ?? 0) + (1 - beta2) * g * g);
    const corrected = (rate * Math.sqrt(1 - beta2 ** step)) / (1 - beta1 ** step);
    return (-corrected * m) / (Math.sqrt(v) + epsilon);
  }
}
