import { accessSync, constants, lstatSync, mkdirSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { ClusterError } from '../errors.ts';
import { systemCode } from './system-error.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The user of this process; tests pass a different one. */
interface User {
  /** Throws if neither HOME nor the user database contains a home folder. */
  readonly home: () => string;
  readonly id: number;
  readonly temporary: string;
}

/**
 * The folder for files that several checkouts share: MNIST_DIST_CACHE, else a folder in
 * XDG_CACHE_HOME or the user's home. A container platform may run a process as a user without
 * either; the cache is then a private folder in TMPDIR. Throws a DISK error if another user owns
 * that folder or can write to it, because tokens are stored in it.
 */
export function cacheDirectory(
  environment: Environment = process.env,
  user: User = currentUser(),
): string {
  const { MNIST_DIST_CACHE: named, XDG_CACHE_HOME: xdg } = environment;
  if (named !== undefined && named !== '') return resolve(named);
  // The XDG specification requires ignoring a relative path.
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'mnist-dist');
  const home = homeOf(user);
  const own = home === undefined ? undefined : join(home, '.cache', 'mnist-dist');
  return own !== undefined && canHold(own) ? own : temporaryCache(user);
}

function currentUser(): User {
  return { home: homedir, id: process.getuid?.() ?? -1, temporary: tmpdir() };
}

/** The user's home; undefined if there is none. */
export function homeOf({ home }: Pick<User, 'home'> = currentUser()): string | undefined {
  try {
    const found = home();
    return isAbsolute(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the folder exists (which is enough to read prepared files) or can be created. */
function canHold(folder: string): boolean {
  for (let above = folder; ; above = dirname(above)) {
    const exists = isFolder(above);
    if (exists === undefined && dirname(above) !== above) continue;
    return exists === true && (above === folder || isWritable(above));
  }
}

/** Undefined if this user cannot see anything at the path. */
function isFolder(path: string): boolean | undefined {
  try {
    return statSync(path).isDirectory();
  } catch {
    return undefined;
  }
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why this user cannot write to a cache that belongs to another user or is read-only. */
export function whyForbidden(cache: string): string {
  const owner = ownerOf(cache);
  const own = process.getuid?.();
  return owner === undefined || owner === own
    ? 'it is not writable'
    : `it belongs to the user with the id ${owner}, and this user has the id ${own}`;
}

/** Undefined if this user cannot see the folder. */
function ownerOf(folder: string): number | undefined {
  try {
    return statSync(folder).uid;
  } catch {
    return undefined;
  }
}

function temporaryCache({ id, temporary }: User): string {
  const folder = join(temporary, `mnist-dist-${id}`);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST')
      throw noCache(`${folder} cannot be created: ${systemCode(error)}`, error);
  }
  const stat = lstatSync(folder);
  const isOwn = stat.isDirectory() && stat.uid === id && (stat.mode & 0o022) === 0;
  if (!isOwn) throw noCache(`${folder} belongs to another user, or others can write to it`);
  return folder;
}

function noCache(why: string, cause?: unknown): ClusterError {
  return new ClusterError('DISK', `this user has no writable home, and ${why}`, {
    fix: 'set MNIST_DIST_CACHE to a folder for the cache, or set HOME',
    cause,
  });
}

/**
 * Expands ~ at the beginning of a path. A shell does so only at the beginning of a word: not in
 * --runs-dir=~/x, in file:~/x or in a file.
 */
export function expandHome(path: string): string {
  const home = path === '~' || path.startsWith('~/') ? homeOf() : undefined;
  return home === undefined ? path : join(home, path.slice(1));
}
