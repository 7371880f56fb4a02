import { expect, it } from 'vitest';
import { encodeHdf5, lookup3 } from '../../../../cli/export/hdf5.ts';

// The values that lookup3.c prints for its own test.
it.each([
  ['', 0xdeadbeef],
  ['Four score and seven years ago', 0x17770551],
])('computes the checksum of "%s"', (text, expected) => {
  expect(lookup3(Buffer.from(text))).toBe(expected);
});

it('writes a file of the size that its superblock states, with a checksum of its own', () => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6);
  const file = Buffer.from(encodeHdf5({ group: { values: { shape: [2, 3], data } } }));
  expect(file.subarray(0, 8).toString('latin1')).toBe('\x89HDF\r\n\x1a\n');
  expect(file.readBigUInt64LE(28)).toBe(BigInt(file.length));
  expect(file.readUInt32LE(44)).toBe(lookup3(file.subarray(0, 44)));
  expect(file.includes(Buffer.from(data.buffer))).toBe(true);
});

it('refuses a name that does not fit', () => {
  expect(() => encodeHdf5({ ['x'.repeat(256)]: {} })).toThrow(RangeError);
});
