import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { grayOf } from '../../../../shared/pictures/gray.ts';
import { decodeJpeg, isJpeg } from '../../../../shared/pictures/jpeg.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import { cmykFile, jpegFiles } from '../../../fixtures/dataset/jpeg-files.ts';

const [{ bytes: gray }, { bytes: progressive }] = jpegFiles;

describe('decodeJpeg', () => {
  test.each(jpegFiles)("gives Pillow's gray values within 1 for $kind", ({ bytes, gray }) => {
    expect(isJpeg(bytes)).toBe(true);
    const picture = decodeJpeg(bytes, 'a.jpg');
    expect([picture.rows, picture.columns]).toEqual([12, 16]);
    const differences = grayOf(picture).map((value, i) => Math.abs(value - (gray[i] ?? 0)));
    expect(Math.max(...differences)).toBeLessThanOrEqual(1);
  });

  const frame = (file: Buffer) =>
    file.findIndex(
      (byte, i) =>
        byte === 0xff && (file[i + 1] ?? 0) >> 4 === 0xc && [0xc0, 0xc2].includes(file[i + 1] ?? 0),
    );
  const changed = (file: Buffer, at: number, ...values: number[]) => {
    const copy = Buffer.from(file);
    copy.set(values, at);
    return copy;
  };
  const scans = (count: number) => {
    const scan = progressive.subarray(progressive.indexOf(Buffer.of(0xff, 0xda)), -2);
    return Buffer.concat([
      progressive.subarray(0, -2),
      ...Array<Buffer>(count).fill(scan),
      Buffer.of(0xff, 0xd9),
    ]);
  };
  test.each<[string, Buffer, string]>([
    ['without its end', gray.subarray(0, -2), 'damaged'],
    ['without its second half', gray.subarray(0, 300), 'damaged'],
    ['of only a beginning', gray.subarray(0, 4), 'damaged'],
    [
      'with absurd sides',
      changed(gray, frame(gray) + 5, 255, 255, 255, 255),
      '65535 x 65535 pixels, more than',
    ],
    ['without pixels', changed(gray, frame(gray) + 5, 0, 0), 'it has no pixels'],
    ['with four colours', cmykFile, '4 components'],
    ['with lossless coding', changed(gray, frame(gray) + 1, 0xc3), 'rare kind'],
    ['with an absurd sampling factor', changed(gray, frame(gray) + 11, 0xff), 'damaged'],
    ['with too many scans', scans(60), 'more than 64 scans'],
  ])('rejects a file %s, with its name', (_what, bytes, message) => {
    expect(() => decodeJpeg(bytes, 'a.jpg')).toThrow(
      expect.objectContaining({
        code: 'IMAGE',
        message: expect.stringMatching(new RegExp(`^a.jpg: .*${message}`)),
      }),
    );
  });

  test('decodes or rejects a file with changed bytes, and never crashes', () => {
    for (const { bytes } of jpegFiles) {
      const change = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255));
      fc.assert(
        fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
          const copy = Buffer.from(bytes);
          for (const [at, value] of changes) copy[at] = value;
          try {
            const { rows, columns, bytes: pixels } = decodeJpeg(copy, 'a.jpg');
            expect(pixels).toHaveLength(4 * rows * columns);
          } catch (error) {
            expect(error).toBeInstanceOf(ClusterError);
          }
        }),
        { numRuns: 100 },
      );
    }
  });
});

test('gray is the luma, and white shows through where a picture is transparent', () => {
  const of = (...bytes: number[]) => [
    ...grayOf({ rows: 1, columns: bytes.length / 4, bytes: Uint8Array.from(bytes) }),
  ];
  expect(of(255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255)).toEqual([76, 150, 29]);
  expect(of(200, 200, 200, 255, 0, 0, 0, 0, 0, 0, 0, 128)).toEqual([200, 255, 127]);
});
