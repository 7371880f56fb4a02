import { ClusterError } from '../../shared/errors.ts';
import {
  FIRST_STORE_RETRY_MILLISECONDS,
  MAX_STORE_ATTEMPTS,
  MAX_STORE_RETRY_MILLISECONDS,
} from '../../shared/limits.ts';
import { pause } from '../../shared/pause.ts';

/** How transient failures are retried. */
export interface RetryPolicy {
  /** Aborts every wait and transfer, which then reject with its reason. */
  readonly signal: AbortSignal;
  /** Called before each retry, with the failure and the delay. */
  readonly onRetry: (error: ClusterError, milliseconds: number) => void;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  /** Rejects with the signal's reason. */
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** The policy with the system's clock and random numbers. */
export function systemRetryPolicy(
  signal: AbortSignal,
  onRetry: RetryPolicy['onRetry'],
): RetryPolicy {
  return {
    signal,
    onRetry,
    random: Math.random,
    wait: pause,
  };
}

/** A failure as an error with a message and a fix, and whether a retry may succeed. */
export interface Failure {
  readonly error: ClusterError;
  readonly isTransient: boolean;
}

/**
 * Calls `attempt` up to MAX_STORE_ATTEMPTS times. The delays between attempts double, and half of
 * each is random, so that many clients do not retry at the same time. Rejects with the last error,
 * as returned by `classify`.
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
      // A ClusterError originates in this process (a full disk, say), so retrying cannot help.
      if (error instanceof ClusterError) throw error;
      const { error: said, isTransient } = classify(error);
      if (!isTransient || failures === MAX_STORE_ATTEMPTS) throw said;
      const whole = Math.min(
        MAX_STORE_RETRY_MILLISECONDS,
        FIRST_STORE_RETRY_MILLISECONDS * 2 ** (failures - 1),
      );
      const milliseconds = Math.round(whole * (0.5 + random() / 2));
      onRetry(said, milliseconds);
      await wait(milliseconds, signal);
    }
  }
}
