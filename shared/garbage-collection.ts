import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Every message that comes brings half a megabyte outside of V8's heap. V8 takes that for a heap that grows fast and
 * marks it over and over, on threads that the engines need: a fifth of a step. The heap itself is small, so it is
 * marked in one go instead: when it has really grown, and when `collectGarbage` is called.
 */
export function quietGarbageCollection(): void {
  setFlagsFromString('--no-incremental-marking');
}

/** Collects now, some milliseconds; for a moment at which nobody waits for this process. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') Reflect.apply(collect, undefined, []);
}
