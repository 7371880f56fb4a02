import type { ErrorCode } from '../../shared/errors.ts';
import type { WorkerMessage } from '../../shared/wire/messages.ts';

/**
 * The shell's check of a part's body: whether its checksum matches, all values are finite and all
 * predicted classes exist.
 */
export interface Verdict {
  readonly part: number;
  readonly slot: number;
  readonly correct: number;
  /** Computing time by the worker's own clock. */
  readonly microseconds: number;
  readonly intact: boolean;
  /**
   * Whether the body is not intact only because its sender has reused the buffer in shared memory.
   */
  readonly stale: boolean;
  readonly finite: boolean;
  /** A predicted class that the model does not have; undefined if there is none. */
  readonly wrongClass?: number | undefined;
  /** XXH64 of the body, and its SHA-256 if `receive` requested it. */
  readonly checksum: bigint;
  readonly digest: string | undefined;
}

/** A recorded evaluation. */
export interface Recorded {
  /** Undefined if it is not finite. */
  readonly loss: number | undefined;
  /** The link of an evaluation that counts. */
  readonly link?: string | undefined;
}

export type RunEvent = { readonly now: number } & (
  | { readonly kind: 'connected'; readonly slot: number; readonly session: string }
  | {
      readonly kind: 'message';
      readonly slot: number;
      readonly message: WorkerMessage;
      /** XXH64 of the message's tensor, as the worker computed it. */
      readonly checksum?: bigint | undefined;
    }
  /** The worker sent a WebSocket ping or pong. */
  | { readonly kind: 'control'; readonly slot: number }
  | { readonly kind: 'disconnected'; readonly slot: number; readonly reason: string }
  | { readonly kind: 'received'; readonly verdict: Verdict }
  | { readonly kind: 'updated'; readonly finite: boolean }
  | ({ readonly kind: 'evaluated' } & Recorded)
  /** The weights that `restore` asked for are the current ones. */
  | { readonly kind: 'restored' }
  | { readonly kind: 'stop'; readonly code: ErrorCode }
  /** At most `workers` workers will connect before the first step. */
  | { readonly kind: 'expect'; readonly workers: number }
  | { readonly kind: 'tick' }
);
