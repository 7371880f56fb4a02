import { describe, expect, it } from 'vitest';
import { parseIdx } from '../../../../shared/dataset/idx.ts';
import { concatenate, imagesFile, labelsFile } from '../../../fixtures/dataset/idx-files.ts';

describe('parseIdx', () => {
  it('reads images and labels, taking rows and columns from the header', () => {
    const images = parseIdx(imagesFile(2, 2, 3), 'images', 'a');
    expect(images).toMatchObject({
      samples: 2,
      rows: 2,
      columns: 3,
      headerBytes: 16,
      totalBytes: 28,
    });
    expect([...images.data]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const labels = parseIdx(labelsFile([5, 0, 4]), 'labels', 'b');
    expect(labels).toMatchObject({ samples: 3, totalBytes: 11 });
    expect([...labels.data]).toEqual([5, 0, 4]);
  });

  it('reads from the middle of a larger buffer', () => {
    const bytes = concatenate([Uint8Array.of(1, 2, 3), labelsFile([4, 5])]).subarray(3);
    expect([...parseIdx(bytes, 'labels', 'b').data]).toEqual([4, 5]);
  });

  it('rejects every truncation, and names the file', () => {
    const whole = imagesFile(2, 2, 3);
    for (let length = 0; length < whole.length; length++) {
      expect(() => parseIdx(whole.subarray(0, length), 'images', 'some/file')).toThrow(
        /^some\/file is truncated: .*\d+/,
      );
    }
  });

  const damaged: [string, Uint8Array, 'images' | 'labels', RegExp][] = [
    [
      'trailing bytes',
      concatenate([labelsFile([1, 2]), Uint8Array.of(0)]),
      'labels',
      /f has trailing bytes: .*2 labels, 10 bytes, but the file has 11/,
    ],
    [
      'labels instead of images',
      labelsFile([1, 2]),
      'images',
      /f has labels \(magic number 0x00000801\), not images/,
    ],
    [
      'images instead of labels',
      imagesFile(1, 1, 1),
      'labels',
      /f has images \(magic number 0x00000803\), not labels/,
    ],
    [
      'a wrong magic number',
      Uint8Array.of(0, 0, 0x0d, 3, 0, 0, 0, 1),
      'images',
      /f begins with 0x00000d03; images begin with 0x00000803/,
    ],
    [
      'gzip without .gz',
      Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0),
      'labels',
      /f begins with 0x1f8b0800/,
    ],
    ['no samples', labelsFile([]), 'labels', /f has no samples/],
    ['no rows', imagesFile(1, 0, 3), 'images', /f declares images of 0 x 3 pixels/],
    [
      'huge images',
      concatenate([Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255)]),
      'images',
      /4294967295 x 4294967295/,
    ],
  ];
  it.each(damaged)('rejects %s', (_what, bytes, kind, message) => {
    expect(() => parseIdx(bytes, kind, 'f')).toThrow(message);
    expect(() => parseIdx(bytes, kind, 'f')).toThrow(expect.objectContaining({ code: 'DATA' }));
  });
});
