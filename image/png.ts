import { open } from 'node:fs/promises';
import { PNG } from 'pngjs';
import { systemCode } from '../data/system-error.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { MAX_IMAGE_FILE_BYTES, MAX_IMAGE_PIXELS, MAX_INTERLACED_FILE_BYTES } from '../shared/limits.ts';

/** A picture row by row, four bytes a pixel: red, green, blue, alpha, 0-255. */
export interface Rgba {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: Uint8Array;
}

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex');
/** Signature, and the chunk with the size, which comes first. */
const HEAD_BYTES = 33;

/**
 * The picture of a PNG of any kind: gray, colour or palette, of 1 to 16 bits, with or without alpha. What it claims to be is
 * looked at before anything of it is unpacked. Rejects with IMAGE, naming the file.
 */
export async function readPng(path: string): Promise<Rgba> {
  const file = await readBounded(path);
  checkHead(file, path);
  try {
    const { width, height, data } = PNG.sync.read(file);
    return { rows: height, columns: width, bytes: data };
  } catch (error) {
    throw refused(path, 'it is a damaged PNG', 'save it again', error);
  }
}

async function readBounded(path: string): Promise<Buffer> {
  try {
    const handle = await open(path);
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw refused(path, 'it is no file', 'name a PNG file');
      if (stat.size > MAX_IMAGE_FILE_BYTES)
        throw tooLarge(
          path,
          `${stat.size} bytes; ${MAX_IMAGE_FILE_BYTES} are allowed (MAX_IMAGE_FILE_BYTES)`,
        );
      const file = Buffer.alloc(stat.size);
      const { bytesRead } = await handle.read(file, 0, file.length, 0);
      return file.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof ClusterError) throw error;
    const reason = systemCode(error) === 'ENOENT' ? 'there is no such file' : messageOf(error);
    throw refused(path, reason, 'name a PNG file', error);
  }
}

function checkHead(file: Buffer, path: string): void {
  if (!file.subarray(0, SIGNATURE.length).equals(SIGNATURE))
    throw refused(path, 'it is no PNG', 'save it as a PNG');
  if (file.length < HEAD_BYTES || file.toString('latin1', 12, 16) !== 'IHDR')
    throw refused(path, 'it is a damaged PNG', 'save it again');
  const [columns, rows] = [file.readUInt32BE(16), file.readUInt32BE(20)];
  if (rows === 0 || columns === 0) throw refused(path, 'it has no pixel', 'save it again');
  if (rows * columns > MAX_IMAGE_PIXELS)
    throw tooLarge(path, `${columns} x ${rows} pixels; ${MAX_IMAGE_PIXELS} are allowed (MAX_IMAGE_PIXELS)`);
  // pngjs unpacks the data of an interlaced one to whatever length it has, up to a thousand times its own.
  if (file[28] === 1 && file.length > MAX_INTERLACED_FILE_BYTES)
    throw refused(
      path,
      `it is interlaced and has ${file.length} bytes; ${MAX_INTERLACED_FILE_BYTES} are allowed (MAX_INTERLACED_FILE_BYTES)`,
      'save it without interlacing',
    );
}

function tooLarge(path: string, what: string): ClusterError {
  return refused(path, `it has ${what}`, 'make it smaller: 28 x 28 pixels are looked at');
}

function refused(path: string, what: string, fix: string, cause?: unknown): ClusterError {
  return new ClusterError('IMAGE', `${path}: ${what}`, { fix, ...(cause === undefined ? {} : { cause }) });
}
