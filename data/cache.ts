import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where everything is kept that several checkouts share. */
export function cacheDirectory(environment: Environment = process.env): string {
  const { MNIST_DIST_CACHE: named, XDG_CACHE_HOME: xdg } = environment;
  if (named !== undefined && named !== '') return resolve(named);
  // The XDG specification says that a relative path is to be ignored.
  const shared = xdg !== undefined && isAbsolute(xdg) ? xdg : join(homedir(), '.cache');
  return join(shared, 'mnist-dist');
}
