import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeModel } from '../../../../shared/files/model-file.ts';
import { decodeTensors, encodeTensors } from '../../../../shared/files/safetensors.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';
import { denseModel } from '../../../../shared/arithmetic/model-shape.ts';

/** A file with the given header and body, which our writer might never write. */
function file(header: string, body: number[] = []): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header), Buffer.from(body)]);
}

describe('safetensors', () => {
  it('has the documented bytes', () => {
    const bytes = encodeTensors({
      metadata: { a: 'b' },
      tensors: [{ name: 'x', shape: [1, 2], data: Float32Array.of(1, -2) }],
    });
    const header =
      '{"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
    expect(header).toHaveLength(81);
    expect(Buffer.from(bytes).toString('latin1')).toBe(
      `\x58\0\0\0\0\0\0\0${header}${' '.repeat(7)}\0\0\x80\x3f\0\0\0\xc0`,
    );
  });

  it('is read as it was written', () => {
    const tensor = fc
      .array(fc.float({ noNaN: true }), { maxLength: 12 })
      .map((values) => ({ shape: [values.length], data: Float32Array.from(values) }));
    const arbitrary = fc.record({
      metadata: fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), fc.string()),
      tensors: fc.array(tensor, { maxLength: 4 }),
    });
    fc.assert(
      fc.property(arbitrary, ({ metadata, tensors }) => {
        const named = tensors.map((each, i) => ({ name: `dense.${i}.kernel`, ...each }));
        const read = decodeTensors(encodeTensors({ metadata, tensors: named }), 'f');
        expect({ ...read.metadata }).toEqual({ ...metadata });
        // Empty tensors share their offset with the next one, so only their names distinguish them.
        expect(new Map(read.tensors.map((each) => [each.name, each]))).toEqual(
          new Map(named.map((each) => [each.name, each])),
        );
      }),
    );
  });

  it('is read into copies, even from a small Buffer at any offset', () => {
    const bytes = encodeTensors({
      metadata: {},
      tensors: [{ name: 'x', shape: [2], data: Float32Array.of(1, 2) }],
    });
    for (let offset = 0; offset < 4; offset++) {
      const pool = Buffer.concat([Buffer.alloc(offset), bytes]);
      const [x] = decodeTensors(pool.subarray(offset), 'f').tensors;
      pool.fill(0xff);
      expect(x?.data).toEqual(Float32Array.of(1, 2));
    }
  });

  it('rejects every truncation and trailing bytes, and names the file', () => {
    const whole = encodeTensors({
      metadata: {},
      tensors: [{ name: 'x', shape: [3], data: Float32Array.of(1, 2, 3) }],
    });
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeTensors(whole.subarray(0, length), 'a/b')).toThrow(
        /^a\/b is not an intact safetensors file/,
      );
    }
    expect(() => decodeTensors(Buffer.concat([whole, Buffer.alloc(4)]), 'f')).toThrow(
      '4 bytes do not belong to any tensor',
    );
  });

  const x = (fields: string) => `{"x":{"dtype":"F32",${fields}}}`;
  it.each<[string, Uint8Array, RegExp]>([
    ['a huge header', Buffer.from('ffffffffffffff7f', 'hex'), /more than 1048576/],
    ['a header that is not JSON', file('{"x":'), /header/],
    ['a header that is a list', file('[]'), /header/],
    ['metadata that is not text', file('{"__metadata__":{"a":1}}'), /header/],
    [
      'a different dtype',
      file('{"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}', Array(8).fill(0)),
      /tensor x has the type F64, not F32/,
    ],
    [
      'a gap between tensors',
      file(x('"shape":[1],"data_offsets":[4,8]'), Array(8).fill(0)),
      /begins at byte 4, but the previous tensor ends at 0/,
    ],
    [
      'a shape that does not match the data',
      file(x('"shape":[2],"data_offsets":[0,4]'), Array(4).fill(0)),
      /tensor x has 4 bytes, which does not fit its shape \[2\]/,
    ],
    [
      'a tensor past the end',
      file(x('"shape":[2],"data_offsets":[0,8]'), Array(4).fill(0)),
      /ends at byte 8, but the file has 4/,
    ],
    ['reversed offsets', file(x('"shape":[1],"data_offsets":[0,-4]')), /tensor x/],
    [
      'overlapping tensors',
      file(
        '{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
          '"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
        Array(4).fill(0),
      ),
      /begins at byte 0/,
    ],
    [
      'a tensor called __proto__',
      file('{"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', Array(4).fill(0)),
      /4 bytes do not belong to any tensor/,
    ],
  ])('rejects %s', (_what, bytes, message) => {
    expect(() => decodeTensors(bytes, 'f')).toThrow(message);
  });
});

describe('model.safetensors', () => {
  it('contains the layers by name, and the configuration, the step and the chain', () => {
    const configuration = {
      ...configurationFixture,
      model: denseModel([1, 3], [2], 0, 2),
    };
    const weights = Float32Array.from({ length: 14 }, (_, i) => i);
    const model = { configuration, step: 7, chain: 'ef'.repeat(32), weights };
    const { metadata, tensors } = decodeTensors(encodeModel(model), 'f');
    expect(Object.keys(metadata)).toEqual(['configuration', 'step', 'chain']);
    expect(metadata).toMatchObject({ step: '7', chain: 'ef'.repeat(32) });
    expect(tensors.map(({ name, shape, data }) => [name, shape, [...data]])).toEqual([
      ['dense.0.kernel', [3, 2], [0, 1, 2, 3, 4, 5]],
      ['dense.0.bias', [2], [6, 7]],
      ['dense.1.kernel', [2, 2], [8, 9, 10, 11]],
      ['dense.1.bias', [2], [12, 13]],
    ]);
    expect(encodeModel(model)).toEqual(encodeModel({ ...model, weights: weights.slice() }));
  });
});
