import { ClusterError } from '../errors.ts';
import { MAX_INPUTS } from '../limits.ts';

/**
 * MNIST's idx format, big-endian; only unsigned bytes are supported:
 *
 *     images  u32 0x00000803 | u32 samples | u32 rows | u32 columns
 *             | samples x rows x columns bytes
 *     labels  u32 0x00000801 | u32 samples | samples bytes
 */
export type IdxKind = 'images' | 'labels';

export interface IdxHeader {
  readonly samples: number;
  /** 1 x 1 for labels. */
  readonly rows: number;
  readonly columns: number;
  readonly headerBytes: number;
  /** Size of the header and the data together: the only valid file size. */
  readonly totalBytes: number;
}

export interface IdxFile extends IdxHeader {
  /** A view of the file's bytes after the header. */
  readonly data: Uint8Array;
}

const magicNumbers = { images: 0x803, labels: 0x801 } as const;
export const idxHeaderBytes = { images: 16, labels: 8 } as const;

/** The header of a file; labels have no size. */
export function idxHeader(
  kind: IdxKind,
  samples: number,
  size?: { readonly rows: number; readonly columns: number },
): Uint8Array {
  const words = [magicNumbers[kind], samples, ...(size ? [size.rows, size.columns] : [])];
  const header = new Uint8Array(4 * words.length);
  const view = new DataView(header.buffer);
  for (const [i, word] of words.entries()) view.setUint32(4 * i, word);
  return header;
}

/** Parses a whole file. Throws a DATA error that names `file` if the file is invalid. */
export function parseIdx(bytes: Uint8Array, kind: IdxKind, file: string): IdxFile {
  const header = parseIdxHeader(bytes, kind, file);
  if (bytes.length !== header.totalBytes)
    throw wrongIdxLength(header, kind, file, String(bytes.length));
  return { ...header, data: bytes.subarray(header.headerBytes) };
}

/**
 * The error for a file whose size differs from the size in its header. `bytes` is a number or
 * "more".
 */
export function wrongIdxLength(
  header: IdxHeader,
  kind: IdxKind,
  file: string,
  bytes: string,
): ClusterError {
  const what = Number(bytes) < header.totalBytes ? 'is truncated' : 'has trailing bytes';
  const declared = `${describe(header, kind)}, ${header.totalBytes} bytes`;
  return new ClusterError(
    'DATA',
    `${file} ${what}: its header declares ${declared}, but the file has ${bytes}`,
    {
      fix: 'copy or download the file again',
    },
  );
}

/**
 * Parses a file's header; the data may be missing. Throws a DATA error that names `file` if the
 * header is invalid.
 */
export function parseIdxHeader(bytes: Uint8Array, kind: IdxKind, file: string): IdxHeader {
  const headerBytes = idxHeaderBytes[kind];
  if (bytes.length >= 4) checkMagic(wordAt(bytes, 0), kind, file);
  if (bytes.length < headerBytes) {
    throw new ClusterError(
      'DATA',
      `${file} is truncated: it has ${bytes.length} bytes, but the header alone has ${headerBytes}`,
      {
        fix: 'copy or download the file again',
      },
    );
  }
  const samples = wordAt(bytes, 4);
  const rows = kind === 'images' ? wordAt(bytes, 8) : 1;
  const columns = kind === 'images' ? wordAt(bytes, 12) : 1;
  if (samples === 0)
    throw new ClusterError('DATA', `${file} has no samples`, {
      fix: 'use a file with at least one sample',
    });
  if (rows === 0 || columns === 0 || rows * columns > MAX_INPUTS) {
    throw new ClusterError(
      'DATA',
      `the header of ${file} declares images of ${rows} x ${columns} pixels`,
      {
        fix: `use images of 1 to ${MAX_INPUTS} pixels (MAX_INPUTS)`,
      },
    );
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
      `${file} has ${other} (magic number ${hex(magic)}), not ${kind}`,
      {
        fix: 'check whether the files for images and labels are swapped',
      },
    );
  }
  throw new ClusterError(
    'DATA',
    `${file} begins with ${hex(magic)}; ${kind} begin with ${hex(magicNumbers[kind])}`,
    { fix: `use an idx file; ${guessOf(magic)}` },
  );
}

function guessOf(magic: number): string {
  if (magic === 0x504b0304) return 'this file is a zip archive: unpack it';
  return magic >>> 16 === 0x1f8b
    ? 'this file was compressed with gzip twice: unpack it once'
    : 'this file may have another format';
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
