import { ClusterError } from '../../errors.ts';
import { tooLarge } from '../convert.ts';
import { datasetFiles, parseHalves, type IdxHalf } from '../dataset.ts';
import {
  idxHeaderBytes,
  parseIdxHeader,
  wrongIdxLength,
  type IdxHeader,
  type IdxKind,
} from '../idx.ts';
import { openUnpacked, type UnpackedFile } from '../unpacked-file.ts';
import type { RawHalf, RawSet } from './raw-set.ts';

/**
 * Reads the four idx files of a dataset, one after the other; `paths` are theirs, in the order of
 * `datasetFiles`. Unpacked, they may total at most `maxBytes`. Rejects with a DATA or LIMIT error
 * that names the file.
 */
export async function readIdxFiles(
  paths: readonly (readonly string[])[],
  maxBytes: number,
): Promise<Uint8Array> {
  const opened: UnpackedFile[] = [];
  try {
    const files: IdxSource[] = [];
    for (const [i, [first = '', ...copies]] of paths.entries()) {
      const file = await openUnpacked(first);
      opened.push(file);
      files.push({ file, copies, ...(await readHeader(file, datasetFiles[i]?.kind ?? 'images')) });
    }
    return await readFiles(files, maxBytes);
  } finally {
    for (const file of opened) await file.close();
  }
}

/** The halves of four idx files that `readIdxFiles` read. Throws DATA if they do not fit. */
export function rawSetOfIdx(bytes: Uint8Array): RawSet {
  const { train, test } = parseHalves(bytes);
  return { train: rawHalf(train, 0), test: rawHalf(test, 2), classNames: undefined, notes: [] };
}

function rawHalf({ images, labels }: IdxHalf, first: 0 | 2): RawHalf {
  const { samples, rows, columns, data } = images;
  const { file } = datasetFiles[first + 1] ?? datasetFiles[1];
  const placeOf = (sample: number) => `${file}, label ${sample}`;
  return { samples, rows, columns, images: data, labels: labels.data, placeOf };
}

/** Two files are compared in pieces of this size. */
const COMPARED_BYTES = 1024 ** 2;

/** One of the four files, read up to the end of its header. */
interface IdxSource {
  readonly file: UnpackedFile;
  /** Paths of files that must have the same bytes. */
  readonly copies: readonly string[];
  readonly kind: IdxKind;
  readonly start: Uint8Array;
  readonly header: IdxHeader;
}

async function readHeader(
  file: UnpackedFile,
  kind: IdxKind,
): Promise<Pick<IdxSource, 'kind' | 'start' | 'header'>> {
  const room = new Uint8Array(idxHeaderBytes[kind]);
  const start = room.subarray(0, await file.read(room));
  const header = parseIdxHeader(start, kind, file.path);
  if (file.size !== undefined && file.size !== header.totalBytes)
    throw wrongIdxLength(header, kind, file.path, String(file.size));
  return { kind, start, header };
}

/** Concatenates the files. The memory is allocated only after all headers have been checked. */
async function readFiles(files: readonly IdxSource[], maxBytes: number): Promise<Uint8Array> {
  let total = 0;
  for (const { file, header } of files) {
    total += header.totalBytes;
    if (total > maxBytes) throw tooLarge(file.path, total, maxBytes);
  }
  const all = new Uint8Array(total);
  let at = 0;
  for (const source of files) {
    const part = all.subarray(at, at + source.header.totalBytes);
    await readWhole(source, part);
    for (const copy of source.copies) await checkCopy(copy, source.file.path, part);
    at += part.length;
  }
  return all;
}

async function readWhole(
  { file, start, header, kind }: IdxSource,
  part: Uint8Array,
): Promise<void> {
  part.set(start);
  const count = start.length + (await file.read(part.subarray(start.length)));
  if (count < part.length) throw wrongIdxLength(header, kind, file.path, String(count));
  // This read also detects damage at the end of a gzip file.
  if ((await file.read(new Uint8Array(1))) > 0)
    throw wrongIdxLength(header, kind, file.path, 'more');
}

/**
 * Archives may contain a file twice, and unpacking may leave the packed file next to the unpacked
 * one. Identical copies are accepted.
 */
async function checkCopy(path: string, firstPath: string, expected: Uint8Array): Promise<void> {
  const copy = await openUnpacked(path);
  try {
    const piece = new Uint8Array(COMPARED_BYTES);
    let at = 0;
    for (;;) {
      const read = piece.subarray(0, await copy.read(piece));
      if (Buffer.compare(read, expected.subarray(at, at + read.length)) !== 0) break;
      at += read.length;
      if (read.length === 0 && at === expected.length) return;
      if (read.length === 0) break;
    }
  } finally {
    await copy.close();
  }
  throw new ClusterError(
    'DATA',
    `${firstPath} and ${path} differ, although their names stand for the same file`,
    {
      fix: 'move one of them away',
    },
  );
}
