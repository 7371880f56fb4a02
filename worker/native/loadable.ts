import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { makeFolders } from '../../bin/files.mjs';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MANIFEST_FILE, type NativeEngine } from './engine-manifest.ts';
import { GRAPHS_FILE, MEMORY_FILE, SUPPORT_FILE } from './places.ts';
import { smokeTest } from './smoke.ts';

const FIX =
  'run `mnist-dist setup` with another cache (MNIST_DIST_CACHE=DIR), or use --engine wasm';

/**
 * Rejects with ENGINE if this machine cannot load this TensorFlow even though its files are
 * complete. It checks within milliseconds whether the file system permits execution and whether the
 * linker accepts the addon next to the binding. It tests the library itself once per kind of
 * machine and Node version, in a child process, because an incompatible library aborts the process
 * that loads it.
 */
export async function requireLoadable(native: NativeEngine): Promise<void> {
  const why = whyNotAtOnce(native);
  if (why !== undefined) throw notLoadable(why);
  if (trialFolders(native).some((folder) => existsSync(join(folder, stampOf(native))))) return;
  await tryToLoad(native);
  recordTrial(native);
}

/** Records that this machine has loaded this TensorFlow in a child process. */
export function recordTrial(native: NativeEngine): void {
  const [folder] = trialFolders(native);
  try {
    makeFolders(folder);
    writeFileSync(join(folder, stampOf(native)), '');
  } catch {
    // The cache is read-only, so the next start tests the library again.
  }
}

/** This user's records, and those next to the binding, which may be part of an image. */
function trialFolders({ moduleDirectory }: NativeEngine): readonly [string, string] {
  const cacheOfBinding = dirname(dirname(realpathSync(moduleDirectory)));
  return [join(cacheDirectory(), 'trials'), join(cacheOfBinding, 'trials')];
}

/**
 * Loads the library and multiplies two matrices in a child process on the CPU. Rejects with ENGINE
 * if that fails.
 */
async function tryToLoad({ binding, environment }: NativeEngine): Promise<void> {
  try {
    await smokeTest(binding, { ...environment, CUDA_VISIBLE_DEVICES: '-1' });
  } catch (error) {
    throw notLoadable(messageOf(error), error);
  }
}

function notLoadable(why: string, cause?: unknown): ClusterError {
  return new ClusterError('ENGINE', `TensorFlow cannot be loaded on this machine: ${why}`, {
    fix: FIX,
    cause,
  });
}

/** Why the library cannot be loaded; undefined if that is not known without loading it. */
function whyNotAtOnce({ moduleDirectory, binding, library }: NativeEngine): string | undefined {
  const mount = [binding, library].map(noexecMount).find((point) => point !== undefined);
  if (mount !== undefined) return `it is on ${mount}, which is mounted noexec`;
  const support = join(moduleDirectory, SUPPORT_FILE);
  if (!existsSync(support)) return undefined;
  try {
    process.dlopen({ exports: {} }, support, constants.dlopen.RTLD_LAZY);
    return undefined;
  } catch (error) {
    return messageOf(error).split('\n')[0];
  }
}

interface Mount {
  readonly point: string;
  readonly options: readonly string[];
}

/** The mount point of this path, if its file system is mounted noexec. */
export function noexecMount(path: string): string | undefined {
  const mount = mountOf(path);
  return mount?.options.includes('noexec') === true ? mount.point : undefined;
}

/** The mount that contains a path; undefined if the kernel does not report it. */
export function mountOf(path: string, mounts: string = '/proc/self/mountinfo'): Mount | undefined {
  let best: Mount | undefined;
  try {
    const real = realpathSync(path);
    for (const line of readFileSync(mounts, 'utf8').split('\n')) {
      const [, , , , escaped = '', options = ''] = line.split(' ');
      const point = escaped.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      );
      const isAbove = point === '/' || real === point || real.startsWith(`${point}/`);
      // If several mounts share a mount point, the last one is in effect.
      if (point !== '' && isAbove && point.length >= (best?.point.length ?? 0))
        best = { point, options: options.split(',') };
    }
  } catch {
    return undefined;
  }
  return best;
}

/**
 * The name of the file that records a successful test. Each combination of binding and addons,
 * processor, Node and C library has its own file.
 */
function stampOf({ moduleDirectory, binding }: NativeEngine): string {
  const hash = createHash('sha256');
  const add = (text: string): void => void hash.update(`${text.length} ${text}\n`);
  add(readText(join(moduleDirectory, MANIFEST_FILE)));
  for (const file of [basename(binding), SUPPORT_FILE, MEMORY_FILE, GRAPHS_FILE])
    add(digestOf(join(moduleDirectory, file)));
  add(/^flags\s*:.*$/m.exec(readText('/proc/cpuinfo'))?.[0] ?? '');
  add(`${process.version} ${process.arch} ${process.versions.modules}`);
  add(readText('/etc/os-release'));
  return hash.digest('hex').slice(0, 16);
}

/** SHA-256 of a file of at most a few megabytes; empty if it cannot be read. */
function digestOf(file: string): string {
  try {
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  } catch {
    return '';
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
