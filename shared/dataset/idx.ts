import { ClusterError } from '../errors.ts';
import { MAX_INPUTS } from '../limits.ts';

/**
 * The idx format of MNIST, unsigned bytes only, big-endian:
 *
 *     images  u32 0x00000803 | u32 samples | u32 rows | u32 columns | samples x rows x columns bytes
 *     labels  u32 0x00000801 | u32 samples | samples bytes
 */
export type IdxKind = 'images' | 'labels';

export interface IdxHeader {
  readonly samples: number;
  /** 1 x 1 for labels. */
  readonly rows: number;
  readonly columns: number;
  readonly headerBytes: number;
  /** Header and data together: what a file with this header must measure. */
  readonly totalBytes: number;
}

export interface IdxFile extends IdxHeader {
  /** A view of the file's bytes after the header. */
  readonly data: Uint8Array;
}

const magicNumbers = { images: 0x803, labels: 0x801 } as const;
export const idxHeaderBytes = { images: 16, labels: 8 } as const;

/** A whole file; throws DATA, naming `file`, when it is not exactly one. */
export function parseIdx(bytes: Uint8Array, kind: IdxKind, file: string): IdxFile {
  const header = parseIdxHeader(bytes, kind, file);
  if (bytes.length !== header.totalBytes)
    throw wrongIdxLength(header, kind, file, String(bytes.length));
  return { ...header, data: bytes.subarray(header.headerBytes) };
}

/**
 * The error for a file of `bytes` bytes, a number or "more", which are not as many as its header
 * says.
 */
export function wrongIdxLength(
  header: IdxHeader,
  kind: IdxKind,
  file: string,
  bytes: string,
): ClusterError {
  const what = Number(bytes) < header.totalBytes ? 'is truncated' : 'has trailing bytes';
  const announced = `${describe(header, kind)}, ${header.totalBytes} bytes`;
  return new ClusterError(
    'DATA',
    `${file} ${what}: its header announces ${announced}, but there are ${bytes}`,
    {
      fix: 'copy or download the file again',
    },
  );
}

/** What the file begins with; its data may still be missing. */
export function parseIdxHeader(bytes: Uint8Array, kind: IdxKind, file: string): IdxHeader {
  const headerBytes = idxHeaderBytes[kind];
  if (bytes.length >= 4) checkMagic(wordAt(bytes, 0), kind, file);
  if (bytes.length < headerBytes) {
    throw new ClusterError(
      'DATA',
      `${file} is truncated: ${bytes.length} bytes, but the header alone takes ${headerBytes}`,
      {
        fix: 'copy or download the file again',
      },
    );
  }
  const samples = wordAt(bytes, 4);
  const rows = kind === 'images' ? wordAt(bytes, 8) : 1;
  const columns = kind === 'images' ? wordAt(bytes, 12) : 1;
  if (samples === 0)
    throw new ClusterError('DATA', `${file} holds no samples`, {
      fix: 'a dataset needs at least one',
    });
  if (rows === 0 || columns === 0 || rows * columns > MAX_INPUTS) {
    throw new ClusterError('DATA', `${file} announces images of ${rows} x ${columns} pixels`, {
      fix: `1 to ${MAX_INPUTS} pixels are allowed (MAX_INPUTS)`,
    });
  }
  return {
    samples,
    rows,
    columns,
    headerBytes,
    totalBytes: headerBytes + samples * rows * columns,
  };
}

function checkMagic(magic: number, kind: IdxKind, file: string): void {
  if (magic === magicNumbers[kind]) return;
  const other = kind === 'images' ? 'labels' : 'images';
  if (magic === magicNumbers[other]) {
    throw new ClusterError(
      'DATA',
      `${file} holds ${other} (magic number ${hex(magic)}), not ${kind}`,
      {
        fix: 'are the files for images and labels swapped?',
      },
    );
  }
  throw new ClusterError(
    'DATA',
    `${file} begins with the magic number ${hex(magic)}; ${kind} of unsigned bytes begin with ${hex(magicNumbers[kind])}`,
    { fix: `use an idx file; ${guessOf(magic)}` },
  );
}

function guessOf(magic: number): string {
  if (magic === 0x504b0304) return 'this is a zip archive: unpack it';
  return magic >>> 16 === 0x1f8b
    ? 'this is packed by gzip twice: unpack it once'
    : 'it may be another format';
}

function describe({ samples, rows, columns }: IdxHeader, kind: IdxKind): string {
  return kind === 'images' ? `${samples} images of ${rows} x ${columns}` : `${samples} labels`;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at);
}

function hex(word: number): string {
  return `0x${word.toString(16).padStart(8, '0')}`;
}
