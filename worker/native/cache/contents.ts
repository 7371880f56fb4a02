import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { readEntryNow } from '../../../shared/disk/regular-file.ts';
import { systemCode } from '../../../shared/disk/system-error.ts';
import { entryAt } from './disk-use.ts';

/** A file that was unpacked from a wheel, with its size and checksum according to the wheel. */
export interface UnpackedFile {
  readonly path: string;
  readonly bytes: number;
  readonly crc32: number;
}

/**
 * Lists a library's files; it is stored in the library's folder. Versions before 0.2 did not write
 * it.
 */
const CONTENTS_FILE = 'contents.json';
const contentsSchema = z.array(
  z.object({ path: z.string(), bytes: z.int().min(0), crc32: z.int().min(0) }),
);

export function writeContents(library: string, files: readonly UnpackedFile[]): void {
  writeFileSync(join(library, CONTENTS_FILE), `${JSON.stringify(files, undefined, 1)}\n`);
}

/**
 * The first difference between a library and the files unpacked from its wheels; undefined if there
 * is no difference or no record of the files. Checksums are compared only if `isThorough`, since
 * reading all of TensorFlow takes a second. A file that this user may not read counts as undamaged,
 * and with `mayLack`, so does a missing file.
 */
export function damageOfContents(
  library: string,
  { isThorough, mayLack = false }: { readonly isThorough: boolean; readonly mayLack?: boolean },
): string | undefined {
  for (const { path, bytes, crc32: expected } of readContents(library)) {
    const file = join(library, path);
    const stat = entryAt(file);
    if (stat === 'hidden' || (stat === undefined && mayLack)) continue;
    if (stat === undefined) return `${path} is missing`;
    if (!stat.isFile()) return `${path} is not a file`;
    if (stat.size !== bytes) return `${path} has ${stat.size} bytes instead of ${bytes}`;
    if (isThorough && !hasChecksum(file, expected)) return `${path} has a wrong checksum`;
  }
  return undefined;
}

function hasChecksum(file: string, expected: number): boolean {
  try {
    return crc32(readFileSync(file)) === expected;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return true;
  }
}

function readContents(library: string): readonly UnpackedFile[] {
  try {
    return contentsSchema.parse(
      JSON.parse(readEntryNow(join(library, CONTENTS_FILE)).toString('utf8')),
    );
  } catch {
    return [];
  }
}
