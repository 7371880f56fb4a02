import { inflateSync } from 'node:zlib';
import { PNG } from 'pngjs';
import { ClusterError } from '../errors.ts';
import { MAX_IMAGE_PIXELS } from '../limits.ts';
import type { Rgba } from './rgba.ts';

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
/** Size of the signature and IHDR, the first chunk. */
const HEAD_BYTES = 33;
/**
 * Bytes of a chunk before its data (length and name), and all its bytes without the data (the
 * checksum included).
 */
const [CHUNK_HEAD_BYTES, CHUNK_BYTES] = [8, 12];

/** Whether a file begins like a PNG. */
export function isPng(file: Uint8Array): boolean {
  return SIGNATURE.equals(file.subarray(0, SIGNATURE.length));
}

/**
 * Decodes a PNG of any kind: gray, colour or palette, 1 to 16 bits, with or without alpha. The size
 * that the header declares is checked before anything is unpacked. Throws an IMAGE error that names
 * the file.
 */
export function decodePng(file: Buffer, path: string): Rgba {
  const head = readHead(file, path);
  try {
    const { end, packed } = readChunks(file);
    if (!isWhole(packed, head)) throw damaged(path);
    // Bytes after the end of a PNG do not belong to it, and pngjs rejects them.
    const { width, height, data } = PNG.sync.read(file.subarray(0, end));
    return { rows: height, columns: width, bytes: data };
  } catch (error) {
    throw error instanceof ClusterError ? error : damaged(path, error);
  }
}

/** The size and the format that a file's header declares. */
interface Head {
  readonly rows: number;
  readonly columns: number;
  readonly bitsPerPixel: number;
  readonly isInterlaced: boolean;
}

/**
 * Samples per pixel by colour type: gray, unused, colour, palette, gray and alpha, unused, colour
 * and alpha.
 */
const SAMPLES = [1, 0, 3, 1, 2, 0, 4];

function readHead(file: Buffer, path: string): Head {
  if (file.length < HEAD_BYTES || chunkName(file, SIGNATURE.length) !== 'IHDR') throw damaged(path);
  const [columns, rows] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  if (rows === 0 || columns === 0) throw refused(path, 'it has no pixels', 'save it again');
  if (rows * columns > MAX_IMAGE_PIXELS)
    throw tooLarge(
      path,
      `${columns} x ${rows} pixels, more than ${MAX_IMAGE_PIXELS} (MAX_IMAGE_PIXELS)`,
    );
  const [bits = 0, colourType = 0] = file.subarray(24);
  return {
    rows,
    columns,
    bitsPerPixel: bits * (SAMPLES[colourType] ?? 0),
    isInterlaced: file[28] === 1,
  };
}

/**
 * Returns the end of the last chunk and the compressed pixels. A file without IEND ends at its last
 * byte.
 */
function readChunks(file: Buffer): { end: number; packed: Buffer } {
  const packed: Buffer[] = [];
  let at = SIGNATURE.length;
  while (at + CHUNK_BYTES <= file.length) {
    const data = at + CHUNK_HEAD_BYTES;
    const length = file.readUInt32BE(at);
    const name = chunkName(file, at);
    at += CHUNK_BYTES + length;
    if (name === 'IEND') return { end: at, packed: Buffer.concat(packed) };
    if (name === 'IDAT') packed.push(file.subarray(data, data + length));
  }
  return { end: file.length, packed: Buffer.concat(packed) };
}

/**
 * Whether the data unpacks to exactly the declared number of bytes. Without this check, pngjs would
 * fill missing data with arbitrary memory and unpack interlaced data without a limit. Throws zlib's
 * errors.
 */
function isWhole(packed: Buffer, head: Head): boolean {
  const bytes = dataBytes(head);
  return inflateSync(packed, { maxOutputLength: bytes }).length === bytes;
}

/** Unpacked size: the rows of all passes, with one filter byte before each row. */
function dataBytes({ rows, columns, bitsPerPixel, isInterlaced }: Head): number {
  const passes = isInterlaced ? ADAM7 : [[0, 0, 1, 1] as const];
  return passes.reduce((sum, [firstRow, firstColumn, down, across]) => {
    const width = Math.ceil((columns - firstColumn) / across);
    const height = Math.ceil((rows - firstRow) / down);
    return width <= 0 || height <= 0
      ? sum
      : sum + height * (1 + Math.ceil((width * bitsPerPixel) / 8));
  }, 0);
}

/**
 * First row, first column, row distance and column distance of each pass of an interlaced image.
 */
export const ADAM7: readonly (readonly [number, number, number, number])[] = [
  [0, 0, 8, 8],
  [0, 4, 8, 8],
  [4, 0, 8, 4],
  [0, 2, 4, 4],
  [2, 0, 4, 2],
  [0, 1, 2, 2],
  [1, 0, 2, 1],
];

function chunkName(file: Buffer, at: number): string {
  return file.toString('latin1', at + 4, at + CHUNK_HEAD_BYTES);
}

function damaged(path: string, cause?: unknown): ClusterError {
  return refused(path, 'it is a damaged PNG', 'save it again', cause);
}

function tooLarge(path: string, what: string): ClusterError {
  return refused(
    path,
    `it has ${what}`,
    'scale it down to the size of the images that the model was trained on',
  );
}

function refused(path: string, what: string, fix: string, cause?: unknown): ClusterError {
  return new ClusterError('IMAGE', `${path}: ${what}`, {
    fix,
    ...(cause === undefined ? {} : { cause }),
  });
}
