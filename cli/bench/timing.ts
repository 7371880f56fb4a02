/**
 * The share of a measurement's time that is spent before the clock counts: caches, compilers and
 * branches settle.
 */
const WARM_UP_SHARE = 0.2;

/**
 * Mean microseconds of one call, over as many calls as fit into `milliseconds`; at least two calls
 * are made.
 */
export function microsecondsPerCall(call: () => void, milliseconds: number): number {
  repeat(call, milliseconds * WARM_UP_SHARE);
  const { calls, elapsed } = repeat(call, milliseconds);
  return (1000 * elapsed) / calls;
}

function repeat(call: () => void, milliseconds: number): { calls: number; elapsed: number } {
  const started = performance.now();
  for (let calls = 1; ; calls++) {
    call();
    const elapsed = performance.now() - started;
    if (elapsed >= milliseconds) return { calls, elapsed };
  }
}
