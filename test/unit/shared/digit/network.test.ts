import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  denseModel,
  parameterCount,
  type Layer,
  type ModelShape,
} from '../../../../shared/arithmetic/model-shape.ts';
import { predictionExcess } from '../../../../shared/arithmetic/model-size.ts';
import { probabilities } from '../../../../shared/digit/network.ts';
import { convnetModel } from '../../../fixtures/engine/models.ts';
import { predictionObstacle, WeightSource } from '../../../../dashboards/page/weights.ts';

const widths = fc.integer({ min: 1, max: 6 });
const models = fc
  .record({
    inputs: widths,
    hidden: fc.array(widths, { maxLength: 3 }),
    classes: fc.integer({ min: 2, max: 5 }),
  })
  .map(({ inputs, hidden, classes }) => ({
    model: denseModel([1, inputs], hidden, 0.5, classes),
    widths: [inputs, ...hidden, classes],
  }));

describe('the forward pass', () => {
  test('matches a naive matrix product', () => {
    fc.assert(
      fc.property(
        models,
        fc.infiniteStream(fc.float({ min: -2, max: 2, noNaN: true })),
        ({ model, widths }, numbers) => {
          const weights = Float32Array.from(
            { length: parameterCount(model) },
            () => numbers.next().value ?? 0,
          );
          const picture = Float32Array.from({ length: model.columns }, () =>
            Math.abs(numbers.next().value ?? 0),
          );
          const found = probabilities(model, weights, picture);
          const expected = naive(widths, weights, picture);
          expect(found).toHaveLength(model.classes);
          for (const [index, value] of expected.entries())
            expect(found[index]).toBeCloseTo(value, 9);
        },
      ),
    );
  });

  test('is finite for large logits', () => {
    const model = denseModel([1, 1], [], 0, 2);
    expect([...probabilities(model, Float32Array.of(1e4, -1e4, 0, 0), Float32Array.of(1))]).toEqual(
      [1, 0],
    );
  });

  test('rejects weights and pictures of the wrong size', () => {
    const model = denseModel([1, 2], [2], 0, 2);
    const fits = new Float32Array(parameterCount(model));
    expect(() => probabilities(model, fits.subarray(1), new Float32Array(2))).toThrow(RangeError);
    expect(() => probabilities(model, fits, new Float32Array(3))).toThrow(RangeError);
  });
});

describe('weights', () => {
  test('are requested at most once per second, even if the user draws more often', async () => {
    let [time, asked] = [0, 0];
    const load = async () => ({ step: ++asked, values: new Float32Array(1) });
    const source = new WeightSource(load, () => time);
    for (; time <= 3500; time += 10) await source.refresh();
    expect(asked).toBe(4);
    expect(source.current?.step).toBe(4);
  });

  test('are not requested again while a request is pending', async () => {
    let time = 0;
    const answers: (() => void)[] = [];
    const load = () => new Promise<undefined>((resolve) => answers.push(() => resolve(undefined)));
    const source = new WeightSource(load, () => time);
    const first = source.refresh();
    time = 5000;
    const second = source.refresh();
    expect(answers).toHaveLength(1);
    answers[0]?.();
    await Promise.all([first, second]);
  });

  test('are kept when a request fails, and are final once the run has ended', async () => {
    let [time, asked, isGone] = [0, 0, false];
    const load = async () => {
      asked += 1;
      if (isGone) throw new Error('the server is down');
      return { step: asked, values: new Float32Array(1) };
    };
    const source = new WeightSource(load, () => time);
    await source.refresh();
    isGone = true;
    time = 2000;
    await source.refresh();
    expect([asked, source.current?.step]).toEqual([2, 1]);
    isGone = false;
    time = 2100;
    await source.finish();
    expect([asked, source.current?.step]).toEqual([3, 3]);
    time = 9000;
    await source.refresh();
    expect(asked).toBe(3);
  });
});

/** Computes each entry by its definition: y[j] = b[j] + sum over i of x[i] K[i][j]. */
function naive(widths: readonly number[], weights: Float32Array, picture: Float32Array): number[] {
  let values = [...picture];
  let at = 0;
  for (let layer = 1; layer < widths.length; layer++) {
    const [inputs, units] = [widths[layer - 1] ?? 0, widths[layer] ?? 0];
    const kernel = Array.from({ length: inputs }, () =>
      Array.from({ length: units }, () => weights[at++] ?? 0),
    );
    const next = Array.from({ length: units }, () => weights[at++] ?? 0).map((bias, unit) =>
      values.reduce((sum, value, input) => sum + value * (kernel[input]?.[unit] ?? 0), bias),
    );
    values = layer === widths.length - 1 ? next : next.map((value) => (value > 0 ? value : 0));
  }
  const largest = Math.max(...values);
  const powers = values.map((value) => Math.exp(value - largest));
  return powers.map((power) => power / powers.reduce((a, b) => a + b, 0));
}

describe('a model for a prediction', () => {
  const pool = (cells: number, step: number) => ({
    kind: 'max_pooling2d' as const,
    pool: [cells, cells] as const,
    strides: [step, step] as const,
    padding: 'same' as const,
  });
  const point = (filters: number) => ({
    kind: 'conv2d' as const,
    filters,
    kernel: [1, 1] as const,
    strides: [1, 1] as const,
    padding: 'valid' as const,
    activation: 'relu' as const,
  });
  const square = (side: number, ...layers: readonly Layer[]): ModelShape => ({
    rows: side,
    columns: side,
    layers: [...layers, { kind: 'flatten' }],
    classes: 10,
  });

  test('is refused if it computes too many values or needs too many operations', () => {
    expect(predictionExcess(convnetModel)).toBeUndefined();
    const values = square(256, point(4096), pool(256, 256));
    expect(predictionExcess(values)).toMatch(/^computes \d+ values .*MAX_PREDICTION_VALUES/);
    expect(predictionExcess(square(128, pool(128, 1)))).toBeUndefined();
    expect(predictionExcess(square(128, point(17), pool(128, 1)))).toMatch(
      /^needs \d+ operations .*MAX_PREDICTION_OPERATIONS/,
    );
    const dense = denseModel([1, 65_536], [65_536, 1], 0, 10);
    expect(predictionExcess(dense)).toMatch(/^needs 4295032842 operations /);
  });

  test('gets a message on the page instead of a prediction if it is too large', () => {
    const model = square(256, point(4096), pool(256, 256));
    const obstacle = predictionObstacle(model, parameterCount(model), 65_536);
    expect(obstacle).toMatch(/^The model is too large/);
  });

  test('has the right numbers of weights and of pixels', () => {
    const weights = parameterCount(convnetModel);
    expect(predictionObstacle(convnetModel, weights, 784)).toBeUndefined();
    expect(predictionObstacle(convnetModel, weights, 783)).toMatch(/^The dataset does not match/);
    expect(predictionObstacle(convnetModel, 3, 784)).toMatch(/^The weights do not match/);
    expect(predictionObstacle(convnetModel, undefined, 784)).toBe('No weights are available yet.');
  });
});
