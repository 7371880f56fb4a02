import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageRoot } from './places.ts';

interface LockModule {
  withLock<T>(directory: string, action: () => Promise<T>, onWait: (owner: string) => void): Promise<T>;
}

/**
 * The lock of bin/lock.mjs, which the first start uses before anything is built. It lies outside what is compiled, so
 * its place differs between sources and dist/ and is resolved at run time.
 */
export async function withLock<T>(
  directory: string,
  action: () => Promise<T>,
  onWait: (owner: string) => void,
): Promise<T> {
  const module: unknown = await import(pathToFileURL(join(packageRoot, 'bin', 'lock.mjs')).href);
  if (!isLockModule(module)) throw new Error('bin/lock.mjs has no withLock');
  return module.withLock(directory, action, onWait);
}

function isLockModule(module: unknown): module is LockModule {
  return (
    typeof module === 'object' &&
    module !== null &&
    'withLock' in module &&
    typeof module.withLock === 'function'
  );
}
