import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError } from '../../shared/errors.ts';
import {
  FIRST_STORE_RETRY_MILLISECONDS,
  MAX_STORE_ATTEMPTS,
  MAX_STORE_RETRY_MILLISECONDS,
} from '../../shared/limits.ts';

/** How failures that may pass are retried. */
export interface RetryPolicy {
  /** Ends every wait and transfer, which reject with its reason. */
  readonly signal: AbortSignal;
  /** Called before each retry, with the failure and the wait. */
  readonly onRetry: (error: ClusterError, milliseconds: number) => void;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** The policy with the clock and the random numbers of the system. */
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

/** A failure as an error with a message and a fix; `isTransient`: a retry may succeed. */
export interface Failure {
  readonly error: ClusterError;
  readonly isTransient: boolean;
}

/**
 * Calls `attempt` up to MAX_STORE_ATTEMPTS times. The waits between attempts double, and half of
 * each is random, so that many clients do not retry at once. Rejects with the last error as
 * `classify` returns it.
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
      // A ClusterError is one of this process, such as a full disk: a retry does not help.
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
