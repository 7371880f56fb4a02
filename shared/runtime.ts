import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Bytes of bytecode that a function runs before V8 thinks about optimizing it; its default is several times as much. */
const INTERRUPT_BUDGET_BYTES = 10_000;

/**
 * Sets V8 for a process whose steps take a millisecond; call it first.
 *
 * Every message brings half a megabyte outside of V8's heap. V8 takes that for a heap that grows fast and marks it over
 * and over, on threads that the engines need: a fifth of a step. The heap itself is small, so it is marked in one go
 * instead: when it has really grown, and when `collectGarbage` is called.
 *
 * A step calls each function a few times only, so with the default budget half of them are still not optimized, and
 * compiler threads still busy, after five thousand steps: a tenth of each.
 */
export function tuneRuntime(): void {
  setFlagsFromString('--no-incremental-marking');
  // Later versions have no such flag; they have a compiler in between that comes early by itself.
  if (Number.parseInt(process.versions.v8, 10) < 12)
    setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET_BYTES}`);
}

/** Collects now, some milliseconds; for a moment at which nobody waits for this process. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') Reflect.apply(collect, undefined, []);
}
