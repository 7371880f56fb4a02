import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import xxhash from 'xxhash-wasm';
import { createKernels } from '../../../../shared/kernels/kernels.ts';
import { xxh64 } from '../../../../shared/kernels/reference-kernels.ts';

const { h64Raw } = await xxhash();

/** Inputs with published XXH64 values for seed 0; the last one is long enough for a stripe. */
const published: [text: string, hash: bigint][] = [
  ['', 0xef46db3751d8e999n],
  ['a', 0xd24ec4f1a98c6e5bn],
  ['as', 0x1c330fb2d66be179n],
  ['asd', 0x631c37ce72a97393n],
  ['asdf', 0x415872f599cea71en],
  ['abc', 0x44bc2cf5ad770999n],
  ['Call me Ishmael. Some years ago--never mind how long precisely-', 0x02a2e85470d6fd96n],
];

function kernelHash(bytes: Uint8Array, shift: number): bigint {
  const kernels = createKernels(4096);
  const at = kernels.allocate(shift + bytes.length) + shift;
  kernels.bytes(at, bytes.length).set(bytes);
  return kernels.checksum(at, bytes.length);
}

describe('XXH64', () => {
  test.each(published)(
    'of %j is the published value, in the kernel and in the reference',
    (text, hash) => {
      const bytes = new TextEncoder().encode(text);
      expect(kernelHash(bytes, 0)).toBe(hash);
      expect(xxh64(bytes)).toBe(hash);
    },
  );

  test('agrees with xxhash-wasm for any bytes, lengths and addresses', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300, size: 'max' }), fc.nat(7), (bytes, shift) => {
        const hash = h64Raw(bytes);
        expect(kernelHash(bytes, shift)).toBe(hash);
        expect(xxh64(bytes)).toBe(hash);
      }),
    );
  });

  test('agrees with xxhash-wasm for every length up to 100', () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => (i * 167 + 13) & 255);
    for (let length = 0; length <= 100; length++) {
      expect(kernelHash(bytes.subarray(0, length), 0)).toBe(h64Raw(bytes.subarray(0, length)));
    }
  });

  test('agrees with xxhash-wasm on a frame body of 407 KB, even in `check`', () => {
    const kernels = createKernels(500_000);
    const at = kernels.allocate(407_084);
    const values = kernels.floats(at, 101_771);
    for (let i = 0; i < values.length; i++) values[i] = 1 / (i + 1) - 0.01;
    const hash = h64Raw(kernels.bytes(at, 407_084));
    expect(kernels.checksum(at, 407_084)).toBe(hash);
    expect(kernels.check(at, 101_771)).toEqual({ finite: true, checksum: hash });
  });
});
