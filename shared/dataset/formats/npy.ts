import { ClusterError } from '../../errors.ts';
import { MAX_NPY_HEADER_BYTES } from '../../limits/dataset.ts';
import type { SequentialReader } from '../sequential-reader.ts';

/**
 * NumPy's format for one array (numpy.lib.format):
 *
 *     "\x93NUMPY" | u8 major | u8 minor | u16 (major 1) or u32 header length, little-endian
 *     | header: a Python dictionary with 'descr', 'fortran_order' and 'shape' | values
 */
export interface NpyHeader {
  readonly shape: readonly number[];
  /** Size of a value, and how it is read. */
  readonly type: NpyType;
}

interface NpyType {
  readonly bytes: number;
  readonly at: (view: DataView, offset: number, isLittle: boolean) => number | bigint;
  readonly isLittle: boolean;
  readonly isUnsigned: boolean;
}

const types: Readonly<Record<string, Pick<NpyType, 'bytes' | 'at'>>> = {
  u1: { bytes: 1, at: (view, offset) => view.getUint8(offset) },
  i1: { bytes: 1, at: (view, offset) => view.getInt8(offset) },
  u2: { bytes: 2, at: (view, offset, isLittle) => view.getUint16(offset, isLittle) },
  i2: { bytes: 2, at: (view, offset, isLittle) => view.getInt16(offset, isLittle) },
  u4: { bytes: 4, at: (view, offset, isLittle) => view.getUint32(offset, isLittle) },
  i4: { bytes: 4, at: (view, offset, isLittle) => view.getInt32(offset, isLittle) },
  u8: { bytes: 8, at: (view, offset, isLittle) => view.getBigUint64(offset, isLittle) },
  i8: { bytes: 8, at: (view, offset, isLittle) => view.getBigInt64(offset, isLittle) },
  f4: { bytes: 4, at: (view, offset, isLittle) => view.getFloat32(offset, isLittle) },
  f8: { bytes: 8, at: (view, offset, isLittle) => view.getFloat64(offset, isLittle) },
};

const MAGIC = Buffer.from('\u0093NUMPY', 'latin1');
/** Values are converted in pieces of this many. */
const PIECE_VALUES = 64 * 1024;

/** Reads the header of an array. Rejects with a DATA error that names the array. */
export async function readNpyHeader(read: SequentialReader, name: string): Promise<NpyHeader> {
  const start = Buffer.alloc(MAGIC.length + 2);
  await fill(read, start, name);
  if (!start.subarray(0, MAGIC.length).equals(MAGIC))
    throw refused(name, 'is not an array in the format of NumPy', 'save it with numpy.savez');
  const major = start[MAGIC.length] ?? 0;
  if (major < 1 || major > 3) throw refused(name, `has version ${major} of NumPy's format`);
  const length = Buffer.alloc(major === 1 ? 2 : 4);
  await fill(read, length, name);
  const bytes = length.readUIntLE(0, length.length);
  if (bytes > MAX_NPY_HEADER_BYTES) {
    const most = `${MAX_NPY_HEADER_BYTES} (MAX_NPY_HEADER_BYTES)`;
    throw refused(name, `declares a header of ${bytes} bytes, more than ${most}`);
  }
  const header = Buffer.alloc(bytes);
  await fill(read, header, name);
  return parseHeader(header.toString('latin1'), name);
}

const PAIR = /\s*'(descr|fortran_order|shape)'\s*:\s*('[^']*'|True|False|\([\d\s,]*\))\s*(?:,|$)/y;

/** Parses only the three keys that every header has: a list is a type with several fields. */
function parseHeader(text: string, name: string): NpyHeader {
  const inner = /^\{([^{}]*)\}\s*$/.exec(text)?.[1]?.trim() ?? '';
  const values = new Map<string, string>();
  PAIR.lastIndex = 0;
  for (let at = 0; at < inner.length; at = PAIR.lastIndex) {
    PAIR.lastIndex = at;
    const pair = PAIR.exec(inner);
    if (pair === null) throw refused(name, 'has a header or a type that is not supported');
    values.set(pair[1] ?? '', pair[2] ?? '');
  }
  const descr = values.get('descr')?.slice(1, -1);
  const shape = values.get('shape')?.slice(1, -1);
  if (descr === undefined || shape === undefined || values.size !== 3)
    throw refused(name, 'has a header that is not supported');
  if (descr.includes('O')) {
    const fix = "save it as numbers: x.astype('uint8')";
    throw refused(name, 'contains Python objects (pickle), which are never loaded', fix);
  }
  const type = types[descr.slice(1)];
  if (type === undefined || !/^[<>|=]/.test(descr))
    throw refused(name, `has values of the type ${JSON.stringify(descr)}`);
  if (values.get('fortran_order') !== 'False') {
    const fix = 'save numpy.ascontiguousarray(x)';
    throw refused(name, "is stored in Fortran's order", fix);
  }
  const lengths = shape.split(',').map((part) => part.trim());
  const sizes = lengths.filter((part) => part !== '').map(Number);
  if (!sizes.every(Number.isSafeInteger) || lengths.slice(0, -1).includes(''))
    throw refused(name, `has the shape (${shape})`);
  const [isLittle, isUnsigned] = [!descr.startsWith('>'), descr[1] === 'u'];
  return { shape: sizes, type: { ...type, isLittle, isUnsigned } };
}

/**
 * Reads `target.length` values, which must be whole numbers from 0 to 255, and the end of the
 * array. Rejects with a DATA error that names the first wrong value.
 */
export async function readNpyBytes(
  read: SequentialReader,
  { shape, type }: NpyHeader,
  target: Uint8Array,
  name: string,
): Promise<void> {
  if (type.bytes === 1 && type.isUnsigned) await fill(read, target, name);
  else await fillConverted(read, { shape, type }, target, name);
  if ((await read(new Uint8Array(1))) > 0)
    throw refused(name, `has more values than its shape (${shape.join(', ')})`);
}

async function fillConverted(
  read: SequentialReader,
  { shape, type: { bytes, at, isLittle } }: NpyHeader,
  target: Uint8Array,
  name: string,
): Promise<void> {
  const piece = new Uint8Array(bytes * Math.min(PIECE_VALUES, target.length));
  const view = new DataView(piece.buffer);
  for (let first = 0; first < target.length; first += PIECE_VALUES) {
    const count = Math.min(PIECE_VALUES, target.length - first);
    await fill(read, piece.subarray(0, count * bytes), name);
    for (let i = 0; i < count; i++) {
      const value = Number(at(view, i * bytes, isLittle));
      if (!Number.isInteger(value) || value < 0 || value > 255)
        throw wrongValue(name, shape, first + i, value);
      target[first + i] = value;
    }
  }
}

function wrongValue(
  name: string,
  shape: readonly number[],
  index: number,
  value: number,
): ClusterError {
  let rest = index;
  const places: number[] = [];
  for (const size of shape.toReversed()) {
    places.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  const fix = "save whole numbers, such as (255 * x).round().astype('uint8')";
  const what = `has ${value} at [${places.join(', ')}], which is not a whole number from 0 to 255`;
  return refused(name, what, fix);
}

async function fill(read: SequentialReader, target: Uint8Array, name: string): Promise<void> {
  if ((await read(target)) < target.length)
    throw refused(name, 'is truncated', 'copy or download the file again');
}

function refused(
  name: string,
  what: string,
  fix = "save it again as numbers: x.astype('uint8')",
): ClusterError {
  return new ClusterError('DATA', `${name} ${what}`, { fix });
}
