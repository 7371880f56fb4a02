import { readNamed } from '../disk/regular-file.ts';
import { systemCode } from '../disk/system-error.ts';
import { ClusterError, messageOf } from '../errors.ts';
import { MAX_IMAGE_FILE_BYTES } from '../limits.ts';
import { decodeJpeg, isJpeg } from './jpeg.ts';
import { decodePng, isPng } from './png.ts';
import type { Rgba } from './rgba.ts';

/**
 * Reads a PNG or a JPEG of any size up to MAX_IMAGE_PIXELS. Rejects with an IMAGE error that names
 * the file.
 */
export async function readPicture(path: string): Promise<Rgba> {
  return decodePicture(await readFile(path), path);
}

/** Decodes the content of a PNG or a JPEG; `path` is only for messages. Throws IMAGE. */
export function decodePicture(file: Buffer, path: string): Rgba {
  if (isJpeg(file)) return decodeJpeg(file, path);
  if (isPng(file)) return decodePng(file, path);
  const what = file.length === 0 ? 'empty' : 'not a PNG or a JPEG';
  throw new ClusterError('IMAGE', `${path}: it is ${what}`, { fix: 'save it as a PNG or a JPEG' });
}

async function readFile(path: string): Promise<Buffer> {
  try {
    return await readNamed(path, { name: 'MAX_IMAGE_FILE_BYTES', bytes: MAX_IMAGE_FILE_BYTES });
  } catch (error) {
    const reason = systemCode(error) === 'ENOENT' ? 'there is no such file' : messageOf(error);
    throw new ClusterError('IMAGE', `${path}: ${reason}`, {
      fix: 'give the path of a PNG or a JPEG',
      cause: error,
    });
  }
}
