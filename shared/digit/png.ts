import { inflateSync } from 'node:zlib';
import { PNG } from 'pngjs';
import { readNamed } from '../disk/regular-file.ts';
import { systemCode } from '../disk/system-error.ts';
import { ClusterError, messageOf } from '../errors.ts';
import { MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS } from '../limits.ts';

/** A picture row by row, four bytes a pixel: red, green, blue, alpha, 0-255. */
export interface Rgba {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: Uint8Array;
}

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
/** Signature, and the chunk with the size, which comes first. */
const HEAD_BYTES = 33;
/** Length and name before a chunk's data; with the checksum after them. */
const [CHUNK_HEAD_BYTES, CHUNK_BYTES] = [8, 12];

/**
 * The picture of a PNG of any kind: gray, colour or palette, of 1 to 16 bits, with or without
 * alpha. What it claims to be is looked at before anything of it is unpacked. Rejects with IMAGE,
 * naming the file.
 */
export async function readPng(path: string): Promise<Rgba> {
  const file = await readFile(path);
  const head = readHead(file, path);
  try {
    const { end, packed } = readChunks(file);
    if (!isWhole(packed, head)) throw damaged(path);
    // What follows the end of a PNG is no part of it, and pngjs does not take it.
    const { width, height, data } = PNG.sync.read(file.subarray(0, end));
    return { rows: height, columns: width, bytes: data };
  } catch (error) {
    throw error instanceof ClusterError ? error : damaged(path, error);
  }
}

async function readFile(path: string): Promise<Buffer> {
  try {
    return await readNamed(path, { name: 'MAX_IMAGE_FILE_BYTES', bytes: MAX_IMAGE_FILE_BYTES });
  } catch (error) {
    const reason = systemCode(error) === 'ENOENT' ? 'there is no such file' : messageOf(error);
    throw refused(path, reason, 'name a PNG file', error);
  }
}

/** What a file says of itself at its beginning. */
interface Head {
  readonly rows: number;
  readonly columns: number;
  readonly bitsPerPixel: number;
  readonly isInterlaced: boolean;
}

/**
 * Samples of a pixel by colour type: gray, none, colour, palette, gray and alpha, none, colour and
 * alpha.
 */
const SAMPLES = [1, 0, 3, 1, 2, 0, 4];

function readHead(file: Buffer, path: string): Head {
  if (!file.subarray(0, SIGNATURE.length).equals(SIGNATURE))
    throw refused(path, 'it is no PNG', 'save it as a PNG');
  if (file.length < HEAD_BYTES || chunkName(file, SIGNATURE.length) !== 'IHDR') throw damaged(path);
  const [columns, rows] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  if (rows === 0 || columns === 0) throw refused(path, 'it has no pixel', 'save it again');
  if (rows * columns > MAX_IMAGE_PIXELS)
    throw tooLarge(
      path,
      `${columns} x ${rows} pixels; ${MAX_IMAGE_PIXELS} are allowed (MAX_IMAGE_PIXELS)`,
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
 * Where the last chunk ends, and the packed pixels. A file without its last chunk ends where it
 * ends.
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
 * Whether the file's data unpack to exactly the pixels that it claims: pngjs takes what memory
 * holds for missing data, and unpacks those of an interlaced file without a bound. Throws as zlib
 * does.
 */
function isWhole(packed: Buffer, head: Head): boolean {
  const bytes = dataBytes(head);
  return inflateSync(packed, { maxOutputLength: bytes }).length === bytes;
}

/** Of the rows of each pass, and a byte before each row. */
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
 * First row and column of each pass of an interlaced picture, and how far its rows and columns are
 * apart.
 */
const ADAM7: readonly (readonly [number, number, number, number])[] = [
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
  return refused(path, `it has ${what}`, 'make it smaller: 28 x 28 pixels are looked at');
}

function refused(path: string, what: string, fix: string, cause?: unknown): ClusterError {
  return new ClusterError('IMAGE', `${path}: ${what}`, {
    fix,
    ...(cause === undefined ? {} : { cause }),
  });
}
