import { describe, expect, test } from 'vitest';
import { decodeJpeg } from '../../../../shared/pictures/jpeg.ts';
import { orientationOf, upright } from '../../../../shared/pictures/orientation.ts';
import type { Rgba } from '../../../../shared/pictures/rgba.ts';
import { jpegFiles } from '../../../fixtures/dataset/jpeg-files.ts';

/** A picture whose pixels are letters. */
function lettered(...lines: readonly string[]): Rgba {
  const letters = Buffer.from(lines.join(''));
  const bytes = Uint8Array.from({ length: 4 * letters.length }, (_, i) => letters[i >> 2] ?? 0);
  return { rows: lines.length, columns: lines[0]?.length ?? 0, bytes };
}

/** Exif data with an orientation, in this byte order. */
function exif(order: 'II' | 'MM', orientation: number, type = 3): Buffer {
  const isLittle = order === 'II';
  const view = new DataView(new ArrayBuffer(8 + 2 + 24));
  view.setUint16(0, isLittle ? 0x4949 : 0x4d4d);
  view.setUint16(2, 42, isLittle);
  view.setUint32(4, 8, isLittle);
  view.setUint16(8, 2, isLittle);
  for (const [at, tag, value] of [
    [10, 0x0100, 1],
    [22, 0x0112, orientation],
  ] as const) {
    view.setUint16(at, tag, isLittle);
    view.setUint16(at + 2, type, isLittle);
    view.setUint32(at + 4, 1, isLittle);
    view.setUint16(at + 8, value, isLittle);
  }
  return Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), new Uint8Array(view.buffer)]);
}

test.each([
  [1, ['abc', 'def']],
  [2, ['cba', 'fed']],
  [3, ['fed', 'cba']],
  [4, ['def', 'abc']],
  [5, ['ad', 'be', 'cf']],
  [6, ['da', 'eb', 'fc']],
  [7, ['fc', 'eb', 'da']],
  [8, ['cf', 'be', 'ad']],
])('a picture with orientation %d is turned as Exif 2.3 says', (orientation, lines) => {
  expect(upright(lettered('abc', 'def'), orientation)).toEqual(lettered(...lines));
});

describe('the orientation', () => {
  test.each(['II', 'MM'] as const)('is read in the byte order %s', (order) => {
    for (let orientation = 1; orientation <= 8; orientation++)
      expect(orientationOf(exif(order, orientation))).toBe(orientation);
  });

  test.each([
    ['without Exif', Buffer.from('http://ns.adobe.com/xap/1.0/\0')],
    ['of 0', exif('II', 0)],
    ['of 9', exif('MM', 9)],
    ['of another type', exif('II', 6, 4)],
    ['that lies beyond the end', Buffer.from(exif('II', 6)).fill(255, 10, 14)],
  ])('%s is upright', (_what, data) => {
    expect(orientationOf(data)).toBe(1);
  });

  test('of Exif that ends early is upright', () => {
    const whole = exif('MM', 6);
    for (let length = 0; length < 38; length++)
      expect(orientationOf(whole.subarray(0, length))).toBe(1);
  });
});

test('decodeJpeg gives an upright picture', () => {
  const [{ bytes }] = jpegFiles;
  const data = exif('MM', 6);
  const head = Buffer.from([0xff, 0xe1, 0, data.length + 2]);
  const photo = Buffer.concat([bytes.subarray(0, 2), head, data, bytes.subarray(2)]);
  expect(decodeJpeg(photo, 'a.jpg')).toEqual(upright(decodeJpeg(bytes, 'a.jpg'), 6));
});
