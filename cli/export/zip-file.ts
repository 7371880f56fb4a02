import { crc32 } from 'node:zlib';
import type { ExportedFile } from './exported-model.ts';

/** Version 2.0 of the format, which every reader knows. */
const VERSION = 20;
/** The specification of file attributes: Unix. */
const UNIX = 3;
const REGULAR_FILE = 0o100644;
/** 1 January 1980, 0:00: the earliest time, so that equal files make equal archives. */
const [TIME, DATE] = [0, 0x21];

/**
 * A zip archive of these files, not compressed, so that its bytes do not depend on a library
 * (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT). Names are ASCII.
 */
export function zipped(files: readonly ExportedFile[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let end = 0;
  for (const { name, bytes } of files) {
    const text = Buffer.from(name, 'ascii');
    const common = commonFields(text, bytes);
    const entry = Buffer.alloc(14);
    entry.writeUInt32LE(REGULAR_FILE * 2 ** 16, 6);
    entry.writeUInt32LE(end, 10);
    const madeBy = Buffer.of(VERSION, UNIX);
    directory.push(signature(1, 2), madeBy, common, entry, text);
    const local = Buffer.concat([signature(3, 4), common, text]);
    parts.push(local, bytes);
    end += local.length + bytes.length;
  }
  const central = Buffer.concat(directory);
  const trailer = Buffer.alloc(18);
  trailer.writeUInt16LE(files.length, 4);
  trailer.writeUInt16LE(files.length, 6);
  trailer.writeUInt32LE(central.length, 8);
  trailer.writeUInt32LE(end, 12);
  return Buffer.concat([...parts, central, signature(5, 6), trailer]);
}

/** The fields that a file's header and its entry in the directory share. */
function commonFields(name: Uint8Array, bytes: Uint8Array): Buffer {
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(VERSION, 0);
  fields.writeUInt16LE(TIME, 6);
  fields.writeUInt16LE(DATE, 8);
  fields.writeUInt32LE(crc32(bytes), 10);
  fields.writeUInt32LE(bytes.length, 14);
  fields.writeUInt32LE(bytes.length, 18);
  fields.writeUInt16LE(name.length, 22);
  return fields;
}

function signature(first: number, second: number): Buffer {
  return Buffer.from([0x50, 0x4b, first, second]);
}
