/** Small idx files, written byte by byte. */
export function imagesFile(
  samples: number,
  rows: number,
  columns: number,
  pixel = (i: number) => i % 256,
): Uint8Array {
  const data = Array.from({ length: samples * rows * columns }, (_, i) => pixel(i));
  return Uint8Array.from([...[0, 0, 8, 3], ...word(samples), ...word(rows), ...word(columns), ...data]);
}

export function labelsFile(labels: readonly number[]): Uint8Array {
  return Uint8Array.from([...[0, 0, 8, 1], ...word(labels.length), ...labels]);
}

function word(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
}

export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Three training and two test images of 2 x 3 pixels. */
export const tinyFiles = {
  'train-images-idx3-ubyte': imagesFile(3, 2, 3),
  'train-labels-idx1-ubyte': labelsFile([1, 0, 9]),
  't10k-images-idx3-ubyte': imagesFile(2, 2, 3, (i) => 255 - i),
  't10k-labels-idx1-ubyte': labelsFile([7, 2]),
};

export const tinyBytes = concatenate(Object.values(tinyFiles));
