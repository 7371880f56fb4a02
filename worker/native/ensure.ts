import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolders } from '../../bin/files.mjs';
import { LockError, withLock } from '../../bin/lock.mjs';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { compileBinding, requireCompiler } from './compile.ts';
import type { Compiler } from './compile.ts';
import { cudaLibraries, driverLibrary, missingLibraries } from './cuda.ts';
import { findUsableGpus } from './usable-gpus.ts';
import { LIBRARY_FILES, folderLibrary, pinnedLibrary, wheelLibrary } from './library.ts';
import type { Library, LibraryPlaces } from './library.ts';
import { noexecMount, recordTrial } from './loadable.ts';
import {
  BINDING_FORMAT,
  isFor,
  MANIFEST_FILE,
  readManifest,
  readyTensorFlow,
  sourcesDigest,
} from './engine-manifest.ts';
import type { Manifest, NativeEngine } from './engine-manifest.ts';
import { cacheDirectory, whyForbidden } from '../../shared/disk/cache-directory.ts';
import { FILE_SIZE_FIX, isTooLarge, systemCode } from '../../shared/disk/system-error.ts';
import { addonSources, ownLink, tfjsPackage } from './places.ts';
import type { Report } from './setup-event.ts';
import { smokeTest } from './smoke.ts';
import { wheelSet } from './wheels.ts';

export { readyTensorFlow };
export type { NativeEngine };

/** The lease that `withLock` gives to the holder of the set-up lock. */
type Lease = Parameters<Parameters<typeof withLock>[1]>[0];

export interface SetupOptions {
  /** A folder with an installed TensorFlow, or a wheel; undefined for the pinned wheels. */
  readonly tensorflow?: string | undefined;
  /** By default, CUDA is chosen if this process may use an NVIDIA GPU. */
  readonly device?: 'gpu' | 'cpu' | undefined;
  readonly offline?: boolean | undefined;
  /** The path of the link to the binding; by default, it is in this checkout. */
  readonly link?: string | undefined;
  /** Whether to test a binding that looks complete, and to rebuild it if it does not work. */
  readonly isTested?: boolean | undefined;
}

/**
 * Sets up TensorFlow for this checkout: fetches the library, builds the binding and runs the smoke
 * test, except for parts that the shared cache already contains. All parts are created under
 * temporary names and renamed once they are complete, under one lock per cache, so that a later
 * set-up never uses parts of an interrupted one. Rejects with SETUP, stating what is missing and
 * how to fix it.
 */
export async function ensureTensorFlow(
  options: SetupOptions,
  report: Report,
): Promise<NativeEngine> {
  const ready = readyTensorFlow(options.link);
  const suitable = ready !== undefined && suits(ready, options) ? ready : undefined;
  const isTested = options.isTested === true && suitable !== undefined;
  const damage = isTested ? await damageOf(suitable) : undefined;
  if (suitable !== undefined && damage === undefined) return suitable;
  if (damage !== undefined) report({ text: `rebuilding TensorFlow's binding: ${damage}` });
  const cache = cacheDirectory();
  createCache(cache);
  requireExecutable(cache);
  return await withCache(cache, report, async (lease) => {
    // Another process may have completed the set-up while this one waited for the lock.
    const meanwhile = damage === undefined ? readyTensorFlow(options.link) : undefined;
    if (meanwhile !== undefined && suits(meanwhile, options)) return meanwhile;
    const places = { cache, temporary: lease.folder };
    return await setUp(options, places, lease, damage !== undefined, report);
  });
}

/**
 * Runs an action that changes the cache, under the set-up lock. Rejects with SETUP if the cache
 * cannot be written.
 */
export async function withCache<T>(
  cache: string,
  report: Report,
  action: (lease: Lease) => Promise<T>,
): Promise<T> {
  const say = (text: string): void => report({ text });
  return await withLock(join(cache, 'lock'), action, say).catch((error: unknown) => {
    if (error instanceof LockError)
      throw new ClusterError('SETUP', error.message, { fix: error.fix, cause: error });
    if (error instanceof ClusterError || systemCode(error) === undefined) throw error;
    throw notWritten(cache, error);
  });
}

/** The error for a full disk, or for a folder that belongs to another user. */
function notWritten(cache: string, error: unknown): ClusterError {
  const isForbidden = ['EACCES', 'EPERM', 'EROFS'].includes(systemCode(error) ?? '');
  const why = isForbidden ? whyForbidden(cache) : messageOf(error);
  const otherFolder = 'choose a writable folder: MNIST_DIST_CACHE=DIR';
  return new ClusterError('SETUP', `TensorFlow could not be set up in ${cache}: ${why}`, {
    fix: isTooLarge(error)
      ? FILE_SIZE_FIX
      : isForbidden
        ? otherFolder
        : `free disk space, or ${otherFolder}`,
    cause: error,
  });
}

/** Why the binding of a complete set-up does not work; undefined if it works. */
export async function damageOf(ready: NativeEngine): Promise<string | undefined> {
  try {
    await smokeTest(ready.binding, ready.environment);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function suits(ready: NativeEngine, { tensorflow, device }: SetupOptions): boolean {
  return tensorflow === undefined && isFor(ready, device);
}

async function setUp(
  options: SetupOptions,
  places: LibraryPlaces,
  lease: Lease,
  isDamaged: boolean,
  report: Report,
): Promise<NativeEngine> {
  // Reports a missing compiler before 274 MB are downloaded.
  const hasBindings = existsSync(join(places.cache, 'bindings'));
  const early = hasBindings ? undefined : await requireCompiler();
  await requireDriverIfNamed(options);
  const library = await chooseLibrary(options, places, report);
  const moduleDirectory = options.link ?? tfjsPackage().moduleDirectory;
  const key = createHash('sha256').update(
    `${BINDING_FORMAT} ${library.identity} ${library.directory} ${sourcesDigest()}`,
  );
  const bindings = join(places.cache, 'bindings', key.digest('hex').slice(0, 16));
  const isNew = isDamaged || readManifest(bindings) === undefined;
  if (isNew) {
    await buildBinding(early ?? (await requireCompiler()), library, bindings, lease, report);
  }
  await requireGpuIfNamed(options, library);
  lease.check();
  linkBinding(bindings, moduleDirectory);
  const ready = readyTensorFlow(options.link);
  if (ready === undefined)
    throw new ClusterError(
      'SETUP',
      `${moduleDirectory} does not contain the binding that was just built`,
    );
  if (isNew) recordTrial(ready);
  report({ text: `TensorFlow ${ready.version} (${ready.device}) is ready` });
  return ready;
}

async function chooseLibrary(
  options: SetupOptions,
  places: LibraryPlaces,
  report: Report,
): Promise<Library> {
  const { tensorflow } = options;
  if (tensorflow !== undefined) {
    const stat = statSync(tensorflow, { throwIfNoEntry: false });
    if (stat === undefined) {
      throw new ClusterError('SETUP', `--tensorflow ${tensorflow}: no such file or folder`, {
        fix: 'pass the folder of an installed TensorFlow, or a wheel (.whl)',
      });
    }
    return stat.isDirectory()
      ? folderLibrary(tensorflow)
      : wheelLibrary(tensorflow, places, report);
  }
  const wish = options.device ?? ((await findUsableGpus()).gpus.length > 0 ? 'gpu' : 'cpu');
  const named = options.device === 'gpu';
  const set =
    wheelSet(process.arch, wish === 'gpu' ? 'cuda' : 'cpu') ??
    (named ? undefined : wheelSet(process.arch, 'cpu'));
  if (process.platform === 'linux' && set !== undefined) {
    return pinnedLibrary(set, places, options.offline ?? false, report);
  }
  throw new ClusterError(
    'SETUP',
    `there is no TensorFlow wheel${named ? ' with CUDA' : ''} for ${process.platform} on ` +
      process.arch,
    {
      fix:
        'use --engine wasm; TensorFlow is supported on Linux, on x64 (CPU, CUDA) and arm64 ' +
        '(CPU)',
    },
  );
}

async function buildBinding(
  compiler: Compiler,
  library: Library,
  target: string,
  lease: Lease,
  report: Report,
): Promise<void> {
  const output = join(lease.folder, 'binding');
  mkdirSync(output);
  report({ text: `compiling TensorFlow's binding (${compiler.version})` });
  await compileBinding(compiler, library.directory, output);
  const { moduleFile } = tfjsPackage();
  report({ text: 'testing TensorFlow in a separate process' });
  const { version } = await smokeTest(join(output, moduleFile), library.environment).catch(
    (error: unknown) => {
      throw adviceOn(library, error);
    },
  );
  const files = [
    ...LIBRARY_FILES.map((name) => ({
      now: join(library.directory, name),
      later: join(library.directory, name),
    })),
    ...[moduleFile, ...addonSources().map(({ file }) => file)].map((name) => ({
      now: join(output, name),
      later: join(target, name),
    })),
  ];
  const manifest: Manifest = {
    format: BINDING_FORMAT,
    version,
    source: library.source,
    device: library.device,
    library: library.directory,
    environment: { ...library.environment },
    files: files.map(({ now, later }) => ({ path: later, bytes: statSync(now).size })),
    sources: sourcesDigest(),
    compiler: compiler.version,
    node: process.version,
  };
  writeFileSync(join(output, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 2)}\n`);
  makeFolders(dirname(target));
  lease.replace(output, target);
}

/**
 * The error of a binding that was just built and does not work, with what to do if the reason is a
 * damaged library. Only libraries in the cache may be removed.
 */
function adviceOn({ directory }: Library, error: unknown): unknown {
  const libraries = join(cacheDirectory(), 'libraries');
  const folder = dirname(directory);
  if (!(error instanceof ClusterError) || dirname(folder) !== libraries) return error;
  return new ClusterError('SETUP', error.message, {
    fix:
      `run: npx mnist-dist setup --repair; if that does not help, remove the library ${folder}, ` +
      `then run: npx mnist-dist setup`,
    cause: error,
  });
}

/**
 * Checks the requirements of `--gpu`: without a CUDA library, TensorFlow would silently use the
 * CPU.
 */
async function requireGpuIfNamed(options: SetupOptions, library: Library): Promise<void> {
  if (options.device !== 'gpu') return;
  if (library.device !== 'cuda') {
    throw new ClusterError('SETUP', `--gpu: ${library.source} was built without CUDA`, {
      fix: 'pass a TensorFlow that was built with CUDA, or omit --tensorflow',
    });
  }
  const missing = await missingLibraries(cudaLibraries, library.environment);
  if (missing.size === 0) return;
  throw new ClusterError(
    'SETUP',
    `--gpu: TensorFlow would not find ${[...missing.keys()].join(', ')}`,
    {
      fix:
        'install the nvidia-*-cu12 wheels next to TensorFlow (tensorflow[and-cuda]), or omit ' +
        '--tensorflow',
    },
  );
}

/** Reports a missing driver before anything is downloaded. */
async function requireDriverIfNamed({ device }: SetupOptions): Promise<void> {
  if (device !== 'gpu') return;
  const why = (await missingLibraries([driverLibrary], {})).get(driverLibrary);
  if (why === undefined) return;
  throw new ClusterError('SETUP', `--gpu: the NVIDIA driver is missing (${why})`, {
    fix:
      `install the driver (${driverLibrary} comes with it), or set up for the CPU: npx ` +
      `mnist-dist setup --cpu`,
  });
}

/**
 * Links the binding for all users of this installation, or only for this user if the installation
 * is not writable.
 */
function linkBinding(bindings: string, moduleDirectory: string): void {
  const own = ownLink(moduleDirectory);
  try {
    linkDirectory(bindings, moduleDirectory);
    rmSync(own, { force: true });
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    linkDirectory(bindings, own);
  }
}

/**
 * Replaces `link`, which may be a link, file or folder, with a link to `target`, atomically if
 * possible.
 */
function linkDirectory(target: string, link: string): void {
  makeFolders(dirname(link));
  const temporary = `${link}.${process.pid}`;
  rmSync(temporary, { force: true });
  symlinkSync(target, temporary);
  if (lstatSync(link, { throwIfNoEntry: false })?.isDirectory() === true)
    rmSync(link, { recursive: true });
  renameSync(temporary, link);
}

/**
 * Throws SETUP if the cache is on a file system that is mounted noexec: libraries on it cannot be
 * loaded.
 */
function requireExecutable(cache: string): void {
  const mount = noexecMount(cache);
  if (mount === undefined) return;
  throw new ClusterError('SETUP', `the cache ${cache} is on ${mount}, which is mounted noexec`, {
    fix: 'choose a folder elsewhere: MNIST_DIST_CACHE=DIR',
  });
}

function createCache(cache: string): void {
  try {
    makeFolders(cache);
  } catch (error) {
    throw new ClusterError('SETUP', `the cache ${cache} cannot be created: ${messageOf(error)}`, {
      fix: 'choose a writable folder: MNIST_DIST_CACHE=DIR',
      cause: error,
    });
  }
}
