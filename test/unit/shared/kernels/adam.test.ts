import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { adamRate, createKernels } from '../../../../shared/kernels/kernels.ts';
import type { Kernels } from '../../../../shared/kernels/kernels.ts';
import * as twins from '../../../../shared/kernels/reference-kernels.ts';
import { expectSameBits, floatArrays } from './values.ts';

const settings = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };

/** The five arrays that Adam takes, each followed by guard bytes. */
function state(kernels: Kernels, count: number) {
  const [from = 0, to = 0, gradient = 0, firstMoment = 0, secondMoment = 0] = Array.from(
    { length: 5 },
    () => {
      const at = kernels.allocate(4 * count + 40);
      kernels.bytes(at + 4 * count, 40).fill(0xa5);
      return at;
    },
  );
  const addresses = { from, to, gradient, firstMoment, secondMoment, count };
  const views = {
    from: kernels.floats(from, count),
    to: kernels.floats(to, count),
    gradient: kernels.floats(gradient, count),
    firstMoment: kernels.floats(firstMoment, count),
    secondMoment: kernels.floats(secondMoment, count),
  };
  const guarded = () =>
    [from, to, gradient, firstMoment, secondMoment].every((at) =>
      kernels.bytes(at + 4 * count, 40).every((byte) => byte === 0xa5),
    );
  return { addresses, views, guarded };
}

describe('adam', () => {
  test('matches the reference kernel bit for bit, and returns the XXH64 of its result', () => {
    const rate = fc.constantFrom(0, 1e-3, 0.0316, 1, 1e-30);
    fc.assert(
      fc.property(floatArrays(4), fc.boolean(), rate, (arrays, inPlace, stepRate) => {
        const [w, g, m, v] = arrays.map((array) => array.slice());
        if (w === undefined || g === undefined || m === undefined || v === undefined)
          throw new Error('there must be four arrays');
        const kernels = createKernels(65_536);
        const { addresses, views, guarded } = state(kernels, w.length);
        views.from.set(w);
        views.gradient.set(g);
        views.firstMoment.set(m);
        views.secondMoment.set(v);
        const to = inPlace ? addresses.from : addresses.to;
        const hash = kernels.adam({ ...addresses, ...settings, to, rate: stepRate });
        const before = w.slice();
        twins.adam({
          weights: w,
          gradient: g,
          firstMoment: m,
          secondMoment: v,
          ...settings,
          rate: stepRate,
        });
        const written = inPlace ? views.from : views.to;
        expectSameBits(written, w);
        expectSameBits(views.firstMoment, m);
        expectSameBits(views.secondMoment, v);
        expectSameBits(views.gradient, g);
        expectSameBits(views.from, inPlace ? w : before);
        expect(hash).toBe(kernels.checksum(to, 4 * w.length));
        expect(hash).toBe(twins.check(written).checksum);
        expect(guarded()).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('changes each weight by the learning rate in step 1, for any gradient except 0', () => {
    const kernels = createKernels(65_536);
    const { addresses, views } = state(kernels, 5);
    views.from.fill(1);
    views.gradient.set([3, -3, 0.02, -700, 0]);
    const rate = adamRate(0.001, settings.beta1, settings.beta2, 1);
    kernels.adam({ ...addresses, ...settings, rate });
    [0.999, 1.001, 0.999, 1.001, 1].forEach((expected, i) =>
      expect(views.to[i]).toBeCloseTo(expected, 6),
    );
    // m = 0.1 g, v = 0.001 g^2
    [0.3, -0.3, 0.002, -70, 0].forEach((expected, i) =>
      expect(views.firstMoment[i]).toBeCloseTo(expected, 5),
    );
    [0.009, 0.009, 4e-7, 490, 0].forEach((expected, i) =>
      expect(views.secondMoment[i]).toBeCloseTo(expected, 3),
    );
  });

  test('matches a step calculated by hand', () => {
    // b1 = b2 = 0.5, rate 1, epsilon 1: m = (2 + 6)/2 = 4, v = (14 + 36)/2 = 25, w = 10 - 4/(5 +
    // 1). All but the last are exact.
    const kernels = createKernels(65_536);
    const { addresses, views } = state(kernels, 1);
    views.from.fill(10);
    views.gradient.fill(6);
    views.firstMoment.fill(2);
    views.secondMoment.fill(14);
    kernels.adam({ ...addresses, beta1: 0.5, beta2: 0.5, epsilon: 1, rate: 1 });
    expect([views.firstMoment[0], views.secondMoment[0]]).toEqual([4, 25]);
    expect(views.to[0]).toBe(Math.fround(10 - Math.fround(4 / 6)));
  });

  test('flushes weights, and flushes moments before it uses them', () => {
    const kernels = createKernels(65_536);
    const { addresses, views } = state(kernels, 3);
    // m decays from 2^-126 to a subnormal and is flushed to a zero of its sign, so the weight does
    // not change.
    views.from.set([2 ** -126, 2 ** -126, 2 ** -126]);
    views.firstMoment.set([2 ** -126, -(2 ** -126), 0]);
    // With epsilon 1 and v = 0, the change is rate * m.
    kernels.adam({ ...addresses, beta1: 0.5, beta2: 0.5, epsilon: 1, rate: 1 });
    expectSameBits(views.firstMoment, Float32Array.of(0, -0, 0));
    expectSameBits(views.to, Float32Array.of(2 ** -126, 2 ** -126, 2 ** -126));
    views.firstMoment.set([2 ** -125, 2 ** -125, -(2 ** -125)]);
    views.from.set([3 * 2 ** -127, 2 ** -125, -3 * 2 ** -127]);
    kernels.adam({ ...addresses, beta1: 0.5, beta2: 0.5, epsilon: 1, rate: 1 });
    expectSameBits(views.to, Float32Array.of(0, 2 ** -126, -0));
  });

  test('stays close to float64 over many steps of a noisy quadratic', () => {
    const count = 37;
    const kernels = createKernels(65_536);
    const { addresses, views } = state(kernels, count);
    const target = Array.from({ length: count }, (_, i) => Math.sin(i));
    const w = target.map(() => 0);
    const m = target.map(() => 0);
    const v = target.map(() => 0);
    for (let step = 1; step <= 300; step++) {
      for (let i = 0; i < count; i++) {
        const g = (w[i] ?? 0) - (target[i] ?? 0) + 0.1 * Math.cos(step * (i + 1));
        views.gradient[i] = g;
        const exact = views.gradient[i] ?? 0;
        const mi = (m[i] = 0.9 * (m[i] ?? 0) + 0.1 * exact);
        const vi = (v[i] = 0.999 * (v[i] ?? 0) + 0.001 * exact * exact);
        // The published form (Kingma and Ba 2015, end of section 2). Its powers are computed with
        // `**`, so it does not depend on adamRate.
        const rate = (0.01 * Math.sqrt(1 - 0.999 ** step)) / (1 - 0.9 ** step);
        w[i] = (w[i] ?? 0) - (rate * mi) / (Math.sqrt(vi) + 1e-7);
      }
      const rate = adamRate(0.01, settings.beta1, settings.beta2, step);
      kernels.adam({ ...addresses, ...settings, to: addresses.from, rate });
    }
    for (let i = 0; i < count; i++)
      expect(Math.abs((views.from[i] ?? NaN) - (w[i] ?? 0))).toBeLessThan(2e-5);
  });
});
