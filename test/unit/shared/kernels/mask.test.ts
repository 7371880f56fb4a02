import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createKernels } from '../../../../shared/kernels/kernels.ts';
import type { MaskArguments } from '../../../../shared/kernels/kernels.ts';
import * as twins from '../../../../shared/kernels/reference-kernels.ts';
import { expectSameBits } from './values.ts';

const base = { seed: 1, step: 1, position: 0, layer: 0, rows: 8, units: 128, rate: 0.2 };

/** Returns the mask; fails if a byte after it has changed. */
function draw(change: Partial<MaskArguments>): Float32Array {
  const mask = { ...base, ...change };
  const kernels = createKernels(4 * mask.rows * mask.units + 4096);
  const bytes = 4 * mask.rows * mask.units;
  const at = kernels.allocate(bytes + 128);
  kernels.bytes(at, bytes + 128).fill(0xa5);
  kernels.mask(at, mask);
  expect(kernels.bytes(at + bytes, 128).every((byte) => byte === 0xa5)).toBe(true);
  return kernels.floats(at, mask.rows * mask.units).slice();
}

function share(values: Float32Array): number {
  return values.reduce((kept, value) => kept + (value === 0 ? 0 : 1), 0) / values.length;
}

describe('mask', () => {
  test('matches the reference kernel for any key and shape', () => {
    const key = fc.record({
      seed: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      step: fc.integer({ min: 1, max: 2 ** 31 }),
      position: fc.nat(65_535),
      layer: fc.nat(15),
      rows: fc.nat(5),
      units: fc.nat(70),
      rate: fc.constantFrom(0, 0.1, 0.2, 0.5, 0.75, 0.999),
    });
    fc.assert(
      fc.property(key, (change) => {
        const { rows, units, rate } = change;
        expectSameBits(draw(change), twins.mask(rows, units, rate, change));
      }),
    );
  });

  test('is 0 or float32(1 / (1 - rate)), and keeps the expected share of units', () => {
    for (const rate of [0.1, 0.2, 0.5, 0.9]) {
      const values = draw({ rows: 1000, rate });
      expect(new Set(values)).toEqual(new Set([0, Math.fround(1 / (1 - rate))]));
      // The share of 128,000 draws has a standard deviation of at most 0.0014. The stream is fixed,
      // so this cannot flake.
      expect(Math.abs(share(values) - (1 - rate))).toBeLessThan(0.006);
    }
  });

  test('keeps every unit at rate 0', () => {
    expect(draw({ rate: 0 }).every((value) => value === 1)).toBe(true);
  });

  test('of a row does not depend on the other rows', () => {
    const whole = draw({ rows: 8, units: 30 });
    for (const rows of [1, 2, 4]) {
      const parts = Array.from({ length: 8 / rows }, (_, i) => [
        ...draw({ rows, units: 30, position: rows * i }),
      ]);
      expect(parts.flat()).toEqual([...whole]);
    }
  });

  test('of a unit does not depend on how many units follow', () => {
    const wide = draw({ rows: 1, units: 128 });
    for (const units of [1, 15, 16, 17, 63])
      expect(draw({ rows: 1, units })).toEqual(wide.subarray(0, units));
  });

  test('is independent of the masks for any other seed, step, position or layer', () => {
    const first = draw({ rows: 100, rate: 0.5 });
    const changes = [
      { seed: 2 },
      { seed: 2 ** 32 + 1 },
      { step: 2 },
      { position: 100 },
      { layer: 1 },
    ];
    for (const change of changes) {
      const other = draw({ rows: 100, rate: 0.5, ...change });
      const same = first.filter((value, i) => value === other[i]).length / first.length;
      expect(Math.abs(same - 0.5)).toBeLessThan(0.03);
    }
  });
});
