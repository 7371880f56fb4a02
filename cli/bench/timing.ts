/** Time to warm up caches and compilers, as a fraction of the measurement that follows. */
const WARM_UP_SHARE = 0.2;

/** Mean microseconds per call, over all calls within `milliseconds`; makes at least two calls. */
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
