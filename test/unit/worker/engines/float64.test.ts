import { describe, expect, it } from 'vitest';
import { createFloat64Model } from '../../../../worker/engines/float64.ts';
import { everyLayerModel, unusualModels } from '../../../fixtures/engine/models.ts';
import { createFixture } from '../../../fixtures/engine/engine-cases.ts';

describe('the float64 model', () => {
  for (const [hidden, labelSmoothing] of [
    [[6], 0],
    [[7, 5], 0],
    [[4, 4, 4], 0],
    [[6], 0.1],
    [[7, 5], 0.95],
  ] as const) {
    const label = `hidden ${hidden.join('-')}, label smoothing ${labelSmoothing}`;
    it(`computes a gradient that matches finite differences, ${label}`, () => {
      const fixture = createFixture({ hidden, inputs: 12, batchSize: 16 });
      const model = createFloat64Model(fixture.shape.model, labelSmoothing);
      const weights = Float64Array.from(fixture.weights);
      // Biases start at 0. Other values also exercise their part of the forward pass.
      for (let i = 0; i < weights.length; i++) weights[i] = (weights[i] ?? 0) + 0.01 * Math.sin(i);
      const batch = fixture.batch(1, 13);
      const gradient = new Float64Array(weights.length);
      const unused = new Float64Array(weights.length);
      model.gradient(weights, batch, gradient);
      const lossAt = (i: number, change: number) => {
        const moved = weights.slice();
        moved[i] = (moved[i] ?? 0) + change;
        return model.gradient(moved, batch, unused).loss;
      };
      const step = 1e-6;
      for (let i = 0; i < weights.length; i++) {
        const slope = (lossAt(i, step) - lossAt(i, -step)) / (2 * step);
        expect(Math.abs((gradient[i] ?? NaN) - slope)).toBeLessThan(1e-8);
      }
    });
  }

  for (const [label, shape] of Object.entries({ ...unusualModels, everyLayerModel })) {
    it(`computes a gradient that matches finite differences, ${label}`, () => {
      const fixture = createFixture({ model: shape, batchSize: 4, virtualShards: 1 });
      const model = createFloat64Model(shape);
      const weights = Float64Array.from(fixture.weights, (w, i) => w + 0.01 * Math.sin(i));
      const batch = fixture.batch(1, 3);
      const gradient = new Float64Array(weights.length);
      const unused = new Float64Array(weights.length);
      model.gradient(weights, batch, gradient);
      const lossAt = (i: number, change: number) => {
        const moved = weights.slice();
        moved[i] = (moved[i] ?? 0) + change;
        return model.gradient(moved, batch, unused).loss;
      };
      const step = 1e-6;
      for (let i = 0; i < weights.length; i++) {
        const slope = (lossAt(i, step) - lossAt(i, -step)) / (2 * step);
        expect(Math.abs((gradient[i] ?? NaN) - slope)).toBeLessThan(1e-7);
      }
    });
  }

  it('adds the mean loss of all classes, by the share that label smoothing gives them', () => {
    const { shape, weights, floats, ...fixture } = createFixture({ hidden: [8] });
    const batch = fixture.batch(1);
    const gradient = new Float64Array(floats - 1);
    const lossWith = (labelSmoothing: number, labels = batch.labels) =>
      createFloat64Model(shape.model, labelSmoothing).gradient(
        weights,
        { ...batch, labels },
        gradient,
      ).loss;
    const classes = Array.from({ length: 10 }, (_, label) =>
      lossWith(
        0,
        batch.labels.map(() => label),
      ),
    );
    const mean = classes.reduce((sum, loss) => sum + loss, 0) / 10;
    expect(lossWith(0.3)).toBeCloseTo(0.7 * lossWith(0) + 0.3 * mean, 6);
  });

  it('computes the loss ln(10) if all weights are 0, for any labels', () => {
    const fixture = createFixture({ hidden: [8] });
    const gradient = new Float64Array(fixture.floats - 1);
    const { loss } = createFloat64Model(fixture.shape.model).gradient(
      gradient.slice(),
      fixture.batch(1),
      gradient,
    );
    expect(loss).toBeCloseTo(Math.log(10), 6);
  });
});
