import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MAX_GARBAGE_BYTES } from './limits.ts';

/**
 * Bytes of bytecode that a function runs before V8 thinks about optimizing it; its default is
 * several times as much.
 */
const INTERRUPT_BUDGET_BYTES = 10_000;

/**
 * Sets V8 for a process whose steps take a millisecond; call it first.
 *
 * Every message brings half a megabyte outside of V8's heap. V8 takes that for a heap that grows
 * fast and marks it over and over, on threads that the engines need: a fifth of a step. The heap
 * itself is small, so it is marked in one go instead: when `collectGarbage` is called, or when it
 * has grown much.
 *
 * A step calls each function a few times only, so with the default budget half of them are still
 * not optimized, and compiler threads still busy, after five thousand steps: a tenth of each.
 */
export function tuneRuntime(): void {
  setFlagsFromString('--no-incremental-marking');
  // Later versions have no such flag; they have a compiler in between that comes early by itself.
  if (Number.parseInt(process.versions.v8, 10) < 12)
    setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET_BYTES}`);
}

let oldBytesKept = 0;

/**
 * Collects if enough has piled up, some tens of milliseconds; for a moment at which nobody waits
 * for a step. Each step leaves 2 to 3 KB among the old objects, which no minor collection frees; a
 * collection at every evaluation would cost as much as a dozen steps.
 */
export function collectGarbage(): void {
  if (oldBytes() - oldBytesKept < MAX_GARBAGE_BYTES) return;
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') Reflect.apply(collect, undefined, []);
  oldBytesKept = oldBytes();
}

function oldBytes(): number {
  return (
    getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space')
      ?.space_used_size ?? 0
  );
}
