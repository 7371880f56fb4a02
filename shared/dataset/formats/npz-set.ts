import { MAX_NPZ_ENTRIES } from '../../limits/dataset.ts';
import { ClusterError } from '../../errors.ts';
import { MAX_INPUTS } from '../../limits.ts';
import { tooLarge } from '../convert.ts';
import type { ImageSize } from '../image-size.ts';
import { readNpyBytes, readNpyHeader, type NpyHeader } from './npy.ts';
import type { RawHalf, RawSet } from './raw-set.ts';
import { withZip, type Zip } from './zip.ts';

/** The names of the arrays: Keras' mnist.npz has x_train and y_train, others spell them out. */
const imageNames = (half: string) => [`x_${half}`, `${half}_images`, `${half}_x`, `images_${half}`];
const labelNames = (half: string) => [`y_${half}`, `${half}_labels`, `${half}_y`, `labels_${half}`];

/**
 * Reads an .npz file such as Keras' mnist.npz: a zip archive of arrays. Its images are [samples,
 * rows, columns] with or without one channel, or [samples, pixels] of a square. At most `maxBytes`
 * are unpacked. Rejects with a DATA or LIMIT error that names the file and the array.
 */
export async function readNpz(path: string, maxBytes: number): Promise<RawSet> {
  return await withZip(path, MAX_NPZ_ENTRIES, async (zip) => {
    const reader = { zip, path, maxBytes, total: 0, used: new Set<string>() };
    const train = await readHalf(reader, 'train');
    if (train === undefined) {
      const names = zip.names.map((name) => name.replace(/\.npy$/, '')).join(', ');
      throw new ClusterError('DATA', `${path} has no x_train and y_train; it has ${names}`, {
        fix: 'save it with numpy.savez(file, x_train=..., y_train=..., x_test=..., y_test=...)',
      });
    }
    const test = await readHalf(reader, 'test');
    const unused = zip.names.filter((name) => !reader.used.has(name));
    const notes = unused.length === 0 ? [] : [`not used of ${path}: ${unused.join(', ')}`];
    return { train, test, classNames: undefined, notes };
  });
}

interface Reader {
  readonly zip: Zip;
  readonly path: string;
  readonly maxBytes: number;
  /** Bytes of all arrays so far. */
  total: number;
  readonly used: Set<string>;
}

/** Undefined if the file has no images for this half. */
async function readHalf(reader: Reader, half: 'train' | 'test'): Promise<RawHalf | undefined> {
  const [images, labels] = [imageNames(half), labelNames(half)].map((names) =>
    reader.zip.names.find((name) => names.includes(name.replace(/\.npy$/, '').toLowerCase())),
  );
  if (images === undefined && labels === undefined) return undefined;
  if (images === undefined || labels === undefined) {
    const [there, missing] = [images ?? labels, images === undefined ? 'images' : 'labels'];
    throw new ClusterError('DATA', `${reader.path} has ${there}, but no ${missing} to match`, {
      fix: `save x_${half} and y_${half}`,
    });
  }
  const pixels = await readArray(reader, images, (header, name) => sizeOf(header, name));
  const classes = await readArray(reader, labels, ({ shape }, name) => {
    if (shape.length === 1 || (shape.length === 2 && shape[1] === 1)) return undefined;
    throw new ClusterError('DATA', `${name} has the shape (${shape.join(', ')})`, {
      fix: 'save one whole number per image, such as y.argmax(axis=1) for one-hot labels',
    });
  });
  const samples = classes.values.length;
  const [count = 0] = pixels.shape;
  if (count !== samples)
    throw new ClusterError(
      'DATA',
      `${pixels.name} has ${count} images, but ${classes.name} has ${samples} labels`,
      {
        fix: 'save one label per image',
      },
    );
  if (samples === 0 || pixels.result === undefined)
    throw new ClusterError('DATA', `${pixels.name} has no samples`);
  const placeOf = (sample: number) => `${classes.name}[${sample}]`;
  return { ...pixels.result, samples, images: pixels.values, labels: classes.values, placeOf };
}

interface ReadArray<T> {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Uint8Array;
  readonly result: T;
}

/** Reads an array after `check` has accepted its header. */
async function readArray<T>(
  reader: Reader,
  fileName: string,
  check: (header: NpyHeader, name: string) => T,
): Promise<ReadArray<T>> {
  const name = `${fileName.replace(/\.npy$/, '')} in ${reader.path}`;
  reader.used.add(fileName);
  const read = await reader.zip.open(fileName);
  const header = await readNpyHeader(read, name);
  const { shape } = header;
  const result = check(header, name);
  const count = shape.reduce((product, size) => product * size, 1);
  reader.total += count;
  if (!(reader.total <= reader.maxBytes)) throw tooLarge(name, reader.total, reader.maxBytes);
  const values = new Uint8Array(count);
  await readNpyBytes(read, header, values, name);
  return { name, shape, values, result };
}

function sizeOf({ shape }: NpyHeader, name: string): ImageSize {
  const [, second = 0, third, channels] = shape;
  const side = Math.round(Math.sqrt(second));
  const isFlat = shape.length === 2 && side * side === second;
  const isGray = shape.length === 3 || (shape.length === 4 && channels === 1);
  const size = isFlat ? { rows: side, columns: side } : { rows: second, columns: third ?? 0 };
  const pixels = size.rows * size.columns;
  if ((!isFlat && !isGray) || pixels === 0 || pixels > MAX_INPUTS) {
    throw new ClusterError('DATA', `${name} has the shape (${shape.join(', ')})`, {
      fix:
        'save gray images as (samples, rows, columns), with 1 to ' +
        `${MAX_INPUTS} pixels each (MAX_INPUTS)`,
    });
  }
  return size;
}
