import { accessSync, constants, lstatSync, mkdirSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { ClusterError } from '../errors.ts';
import { systemCode } from './system-error.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Other than ordinary in tests. */
interface User {
  /** Throws where neither HOME nor the user database says it. */
  readonly home: () => string;
  readonly id: number;
  readonly temporary: string;
}

/**
 * Where everything is kept that several checkouts share: MNIST_DIST_CACHE, else a folder in
 * XDG_CACHE_HOME or the user's home. A container platform may run a process as a user who has
 * neither: then it is a folder in TMPDIR that is this user's alone. Throws DISK where that belongs
 * to somebody else, since tokens lie in it.
 */
export function cacheDirectory(
  environment: Environment = process.env,
  user: User = currentUser(),
): string {
  const { MNIST_DIST_CACHE: named, XDG_CACHE_HOME: xdg } = environment;
  if (named !== undefined && named !== '') return resolve(named);
  // The XDG specification says that a relative path is to be ignored.
  if (xdg !== undefined && isAbsolute(xdg)) return join(xdg, 'mnist-dist');
  const home = homeOf(user);
  const own = home === undefined ? undefined : join(home, '.cache', 'mnist-dist');
  return own !== undefined && canHold(own) ? own : temporaryCache(user);
}

function currentUser(): User {
  return { home: homedir, id: process.getuid?.() ?? -1, temporary: tmpdir() };
}

/** Undefined for a user without one. */
export function homeOf({ home }: Pick<User, 'home'> = currentUser()): string | undefined {
  try {
    const found = home();
    return isAbsolute(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the folder is there, which is enough to read what was prepared, or can be made. */
function canHold(folder: string): boolean {
  for (let above = folder; ; above = dirname(above)) {
    const isThere = isFolder(above);
    if (isThere === undefined && dirname(above) !== above) continue;
    return isThere === true && (above === folder || isWritable(above));
  }
}

/** Undefined where nothing is there, or nothing that this user may see. */
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

function temporaryCache({ id, temporary }: User): string {
  const folder = join(temporary, `mnist-dist-${id}`);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST')
      throw noCache(`${folder} cannot be made: ${systemCode(error)}`, error);
  }
  const stat = lstatSync(folder);
  const isOwn = stat.isDirectory() && stat.uid === id && (stat.mode & 0o022) === 0;
  if (!isOwn) throw noCache(`others can write to ${folder}, or it is theirs`);
  return folder;
}

function noCache(why: string, cause?: unknown): ClusterError {
  return new ClusterError('DISK', `this user has no home that can be written to, and ${why}`, {
    fix: 'name a folder for what is kept between runs: MNIST_DIST_CACHE=DIR, or set HOME',
    cause,
  });
}
