import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MANIFEST_FILE, type NativeEngine } from './engine-manifest.ts';
import { SUPPORT_FILE } from './places.ts';
import { smokeTest } from './smoke.ts';

const FIX =
  'Run `mnist-dist setup` with another cache (MNIST_DIST_CACHE=DIR), or use --engine wasm';

/**
 * Throws ENGINE where this TensorFlow cannot be loaded here, though its files are whole. A few
 * milliseconds say whether its file system lets programs run and whether the linker takes what lies
 * beside it; the library itself is tried once by each kind of machine and of Node, in a process of
 * its own, since one that does not fit ends its process.
 */
export async function requireLoadable(native: NativeEngine): Promise<void> {
  const why = whyNotAtOnce(native);
  if (why !== undefined) throw notLoadable(why);
  const stamp = stampOf(native);
  if (existsSync(stamp)) return;
  await tryToLoad(native);
  try {
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, '');
  } catch {
    // A cache that can only be read: it is tried again the next time.
  }
}

/** Loads it and multiplies, in a process of its own and on the CPU. Rejects with ENGINE. */
async function tryToLoad({ binding, environment }: NativeEngine): Promise<void> {
  try {
    await smokeTest(binding, { ...environment, CUDA_VISIBLE_DEVICES: '-1' });
  } catch (error) {
    throw notLoadable(messageOf(error), error);
  }
}

function notLoadable(why: string, cause?: unknown): ClusterError {
  return new ClusterError('ENGINE', `TensorFlow cannot be loaded here: ${why}`, {
    fix: FIX,
    cause,
  });
}

/** What says so without loading the library; undefined where nothing does. */
function whyNotAtOnce({ moduleDirectory, binding, library }: NativeEngine): string | undefined {
  const mount = [binding, library].map(noexecMount).find((point) => point !== undefined);
  if (mount !== undefined) return `it lies on ${mount}, which is mounted noexec`;
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

/** Where the file system of this path is mounted, if no program may be loaded from there. */
export function noexecMount(path: string): string | undefined {
  const mount = mountOf(path);
  return mount?.options.includes('noexec') === true ? mount.point : undefined;
}

/** The file system that a path lies on; undefined where the kernel does not tell. */
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
      // Of several mounts on one point the last one counts.
      if (point !== '' && isAbove && point.length >= (best?.point.length ?? 0))
        best = { point, options: options.split(',') };
    }
  } catch {
    return undefined;
  }
  return best;
}

/**
 * The file that says that a trial went well; another one for another binding, processor, Node or C
 * library.
 */
export function stampOf({ moduleDirectory }: NativeEngine): string {
  const hash = createHash('sha256');
  const add = (text: string): void => void hash.update(`${text.length} ${text}\n`);
  add(readText(join(moduleDirectory, MANIFEST_FILE)));
  add(/^flags\s*:.*$/m.exec(readText('/proc/cpuinfo'))?.[0] ?? '');
  add(`${process.version} ${process.arch} ${process.versions.modules}`);
  add(readText('/etc/os-release'));
  return join(cacheDirectory(), 'trials', hash.digest('hex').slice(0, 16));
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
