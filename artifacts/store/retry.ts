import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError } from '../../shared/errors.ts';
import {
  FIRST_STORE_RETRY_MILLISECONDS,
  MAX_STORE_ATTEMPTS,
  MAX_STORE_RETRY_MILLISECONDS,
} from '../../shared/limits.ts';

/** How failures that may pass are waited for. */
export interface RetryPolicy {
  /** Ends every wait and transfer; its reason is what is thrown then. */
  readonly signal: AbortSignal;
  /** Hears of every failure after which another attempt follows. */
  readonly onRetry: (error: ClusterError, milliseconds: number) => void;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** With the machine's clock and chance. */
export function systemRetryPolicy(
  signal: AbortSignal,
  onRetry: RetryPolicy['onRetry'],
): RetryPolicy {
  return {
    signal,
    onRetry,
    random: Math.random,
    wait: (milliseconds, signal) => sleep(milliseconds, undefined, { signal }),
  };
}

/** A failure in the words of its user, and whether it may pass by itself. */
export interface Failure {
  readonly error: ClusterError;
  readonly isTransient: boolean;
}

/**
 * What `attempt` resolves with, at the latest after MAX_STORE_ATTEMPTS. Waits in between: twice as
 * long each time, half of it by chance, so that many clients do not come back at once. Rejects with
 * the last error that `classify` has put into words.
 */
export async function withRetries<T>(
  attempt: () => Promise<T>,
  classify: (error: unknown) => Failure,
  { signal, onRetry, random, wait }: RetryPolicy,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    signal.throwIfAborted();
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      // What was put into words already is the disk here, or a contract of ours.
      if (error instanceof ClusterError) throw error;
      const { error: said, isTransient } = classify(error);
      if (!isTransient || failures === MAX_STORE_ATTEMPTS) throw said;
      const whole = Math.min(
        MAX_STORE_RETRY_MILLISECONDS,
        FIRST_STORE_RETRY_MILLISECONDS * 2 ** (failures - 1),
      );
      const milliseconds = Math.round(whole * (0.5 + random() / 2));
      onRetry(said, milliseconds);
      await wait(milliseconds, signal).catch(() => signal.throwIfAborted());
    }
  }
}
