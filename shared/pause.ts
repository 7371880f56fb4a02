import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Resolves after `milliseconds`. Rejects with the signal's reason if the signal is aborted first.
 */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  // The timer itself rejects with an AbortError.
  await sleep(milliseconds, undefined, { signal }).catch(() => signal.throwIfAborted());
}
