import { assert } from '../../shared/errors.ts';

/** The pixels of a sample, row by row; 0 is background. */
export interface Digit {
  readonly rows: number;
  readonly columns: number;
  readonly pixels: Uint8Array;
}

/**
 * Greyscale PNGs, ink on paper, with one pixel per sample pixel. They are not compressed, because
 * zlib's output differs between Node versions and the files are small anyway.
 */
export async function digitPngs(digits: readonly Digit[]): Promise<Buffer[]> {
  const { PNG } = await import('pngjs');
  return digits.map(({ rows, columns, pixels }) => {
    const picture = new PNG({ width: columns, height: rows });
    picture.data.fill(255);
    for (const [index, ink] of pixels.entries())
      picture.data.fill(255 - ink, 4 * index, 4 * index + 3);
    return PNG.sync.write(picture, { colorType: 0, deflateLevel: 0, filterType: 0 });
  });
}

export function dataUri(png: Buffer): string {
  return `data:image/png;base64,${png.toString('base64')}`;
}

/** One sample from images of shape [samples, rows * columns]. */
export function digitOf(
  images: Uint8Array,
  { rows, columns }: { readonly rows: number; readonly columns: number },
  index: number,
): Digit {
  const pixels = images.subarray(index * rows * columns, (index + 1) * rows * columns);
  assert(pixels.length === rows * columns, `there is a picture of sample ${index}`);
  return { rows, columns, pixels };
}
