import type { Patience } from '../../artifacts/store/retry.ts';

/** Waits for nothing, and says how long it would have. */
export function noPatience(waits: number[] = [], signal = new AbortController().signal): Patience {
  return {
    signal,
    onRetry: (_error, milliseconds) => waits.push(milliseconds),
    random: () => 0,
    wait: async () => undefined,
  };
}
