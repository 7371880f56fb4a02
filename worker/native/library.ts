import { createHash } from 'node:crypto';
import {
  existsSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  statfsSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { makeFolders } from '../../bin/files.mjs';
import { ClusterError } from '../../shared/errors.ts';
import { writeContents, type UnpackedFile } from './cache/contents.ts';
import { cudaLibraryPath } from './cuda.ts';
import { PIP_FIX, fetchWheel, findPip, sha256OfFile } from './pip.ts';
import type { Report } from './setup-event.ts';
import { unpackWheel } from './unpack.ts';
import { downloadMegabytes, pinnedSets } from './wheels.ts';
import type { WheelSet } from './wheels.ts';

export const LIBRARY_FILES: readonly string[] = [
  'libtensorflow_cc.so.2',
  'libtensorflow_framework.so.2',
];
/** Names of the sets of wheels of any version, and of libraries from users' wheels. */
const LIBRARY_NAME =
  /^(?:wheel-[0-9a-f]{16}|tensorflow(?:-cpu)?-\d+\.\d+\.\d+(?:-cuda\d+)?-(?:x86_64|aarch64))$/;
const SAY_SIZE_FROM_MEGABYTES = 100;

/** A TensorFlow C library on disk, from any source. */
export interface Library {
  /** The folder that contains libtensorflow_cc.so.2 and include/. */
  readonly directory: string;
  readonly source: string;
  readonly device: 'cpu' | 'cuda';
  readonly environment: Readonly<Record<string, string>>;
  /** A value that no other library has. */
  readonly identity: string;
}

export interface LibraryPlaces {
  readonly cache: string;
  /** Emptied before and after a set-up; only the owner of the set-up lock uses it. */
  readonly temporary: string;
}

/** Whether a folder with this name in a cache is a library of some version of mnist-dist. */
export function isLibraryName(name: string): boolean {
  return LIBRARY_NAME.test(name) || pinnedSets().some((set) => set.name === name);
}

/** The library from a set of pinned wheels, which are downloaded and unpacked if it is missing. */
export async function pinnedLibrary(
  set: WheelSet,
  places: LibraryPlaces,
  offline: boolean,
  report: Report,
): Promise<Library> {
  const target = join(places.cache, 'libraries', set.name);
  const wheels = join(places.cache, 'wheels');
  if (!existsSync(target)) {
    const lacking = set.wheels.filter((wheel) => !existsSync(join(wheels, wheel.file)));
    if (lacking.length > 0)
      await allowDownload(set, lacking.map(({ file }) => file).join(', '), offline);
    const megabytes = downloadMegabytes(lacking);
    requireSpace(places.cache, megabytes + set.unpackedMegabytes);
    if (megabytes > SAY_SIZE_FROM_MEGABYTES) {
      report({
        text:
          `${set.name}: downloading ${megabytes} MB (${set.unpackedMegabytes} MB unpacked) to ` +
          `${places.cache}, only this once`,
      });
    }
    const unpacked = join(places.temporary, set.name);
    const files: string[] = [];
    for (const wheel of set.wheels) {
      files.push(await fetchWheel(wheel, wheels, join(places.temporary, 'download'), report));
    }
    const contents: UnpackedFile[] = [];
    for (const file of files) contents.push(...(await unpack(file, unpacked, report)));
    writeContents(unpacked, contents);
    makeFolders(join(places.cache, 'libraries'));
    renameSync(unpacked, target);
  }
  // This is outside the condition, so that a later set-up removes the wheels if an earlier one was
  // interrupted here.
  for (const { file } of set.wheels) rmSync(join(wheels, file), { force: true });
  return describe(
    join(target, 'tensorflow'),
    set.name,
    set.device,
    set.wheels[0]?.sha256 ?? set.name,
  );
}

/** The library from a user's wheel, unpacked into the cache under its digest. */
export async function wheelLibrary(
  wheel: string,
  places: LibraryPlaces,
  report: Report,
): Promise<Library> {
  report({ text: `checking ${wheel}` });
  const sha256 = await sha256OfFile(wheel);
  const target = join(places.cache, 'libraries', `wheel-${sha256.slice(0, 16)}`);
  if (!existsSync(target)) {
    const unpacked = join(places.temporary, 'wheel');
    const contents = await unpack(wheel, unpacked, report);
    requireLibrary(join(unpacked, 'tensorflow'), wheel);
    writeContents(unpacked, contents);
    makeFolders(join(places.cache, 'libraries'));
    renameSync(unpacked, target);
  }
  const directory = join(target, 'tensorflow');
  return describe(directory, resolve(wheel), builtForCuda(directory) ? 'cuda' : 'cpu', sha256);
}

/**
 * An installed TensorFlow, used in place: the `tensorflow` folder in site-packages, or its parent.
 */
export function folderLibrary(folder: string): Library {
  const inner = join(folder, 'tensorflow');
  const directory = realpathSync(existsSync(join(inner, 'libtensorflow_cc.so.2')) ? inner : folder);
  requireLibrary(directory, folder);
  const hash = createHash('sha256').update(directory);
  for (const name of LIBRARY_FILES) {
    const { size, mtimeMs } = statSync(join(directory, name));
    hash.update(`\n${name} ${size} ${mtimeMs}`);
  }
  return describe(
    directory,
    directory,
    builtForCuda(directory) ? 'cuda' : 'cpu',
    hash.digest('hex'),
  );
}

function describe(
  directory: string,
  source: string,
  device: 'cpu' | 'cuda',
  identity: string,
): Library {
  const path = device === 'cuda' ? cudaLibraryPath(directory) : undefined;
  return {
    directory,
    source,
    device,
    identity,
    environment: path === undefined ? {} : { LD_LIBRARY_PATH: path },
  };
}

/**
 * Whether TensorFlow's build information mentions CUDA; a folder without build information counts
 * as built for the CPU.
 */
function builtForCuda(directory: string): boolean {
  const file = join(directory, 'python', 'platform', 'build_info.py');
  return (
    existsSync(file) &&
    /['"]is_cuda_build['"]\s*:\s*True|is_cuda_build\s*=\s*True/.test(readFileSync(file, 'utf8'))
  );
}

async function unpack(
  wheel: string,
  directory: string,
  report: Report,
): Promise<readonly UnpackedFile[]> {
  const text = `unpacking ${basename(wheel)}`;
  report({ text });
  let said = 0;
  return await unpackWheel(wheel, directory, (fraction) => {
    if (fraction - said < 0.01) return;
    said = fraction;
    report({ text, fraction });
  });
}

async function allowDownload(set: WheelSet, missing: string, offline: boolean): Promise<void> {
  if (offline) {
    throw new ClusterError(
      'SETUP',
      `--offline: ${set.name} is not in the cache; missing: ${missing}`,
      {
        fix:
          'run `npx mnist-dist setup` once with a network connection, or pass a TensorFlow: npx ' +
          'mnist-dist setup --tensorflow DIR|WHEEL',
      },
    );
  }
  if ((await findPip()) === undefined)
    throw new ClusterError('SETUP', 'pip was not found', { fix: PIP_FIX });
}

function requireSpace(cache: string, megabytes: number): void {
  makeFolders(cache);
  const { bavail, bsize } = statfsSync(cache);
  const free = Math.floor((bavail * bsize) / 1e6);
  if (free >= megabytes) return;
  throw new ClusterError(
    'SETUP',
    `${cache} has ${free} MB of free disk space; the set-up needs ${megabytes} MB`,
    {
      fix: 'free disk space, or choose another folder: MNIST_DIST_CACHE=DIR',
    },
  );
}

function requireLibrary(directory: string, named: string): void {
  const missing = [...LIBRARY_FILES, 'include'].find((name) => !existsSync(join(directory, name)));
  if (missing === undefined) return;
  const found = existsSync(directory)
    ? readdirSync(directory).slice(0, 5).join(', ')
    : 'no such folder';
  throw new ClusterError(
    'SETUP',
    `--tensorflow ${named}: ${missing} is missing (${found === '' ? 'empty folder' : found})`,
    {
      fix: 'pass the `tensorflow` folder of an installed TensorFlow 2.14 or later, or its wheel',
    },
  );
}
