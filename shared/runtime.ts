import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MAX_GARBAGE_BYTES } from './limits.ts';

/**
 * Bytes of bytecode that a function executes before V8 considers optimizing it. V8's default is
 * several times larger.
 */
const INTERRUPT_BUDGET_BYTES = 10_000;

/**
 * Configures V8 for a process whose steps take a millisecond. Call it before anything else.
 *
 * Every message allocates half a megabyte outside V8's heap. V8 mistakes this for a quickly growing
 * heap and marks the heap again and again, on threads that the engines need, which costs a fifth of
 * a step. The heap itself is small, so it is marked in one go instead: in `collectGarbage`, or
 * after it has grown considerably.
 *
 * A step calls each function only a few times. With the default budget, half of the functions are
 * still not optimized after five thousand steps, and compiler threads take a tenth of each step.
 */
export function tuneRuntime(): void {
  setFlagsFromString('--no-incremental-marking');
  // Later versions of V8 lack this flag; their mid-tier compiler starts early anyway.
  if (Number.parseInt(process.versions.v8, 10) < 12)
    setFlagsFromString(`--interrupt-budget=${INTERRUPT_BUDGET_BYTES}`);
}

let oldBytesKept = 0;

/**
 * Collects garbage if enough has accumulated, which takes a few tens of milliseconds. Call it when
 * no process is waiting for a step. Each step leaves 2 to 3 KB of old objects, which no minor
 * collection frees; a collection at every evaluation would cost as much as a dozen steps.
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
