import type { ErrorCode } from '../../shared/errors.ts';
import type { WorkerMessage } from '../../shared/wire/messages.ts';

/** What the shell saw of a part's body: whether the checksum held and all values are finite. */
export interface Verdict {
  readonly part: number;
  readonly slot: number;
  readonly correct: number;
  /** What the worker says it took to compute. */
  readonly microseconds: number;
  readonly intact: boolean;
  /**
   * Of a body that is not intact: its sender has reused its place in shared memory, which is no
   * damage.
   */
  readonly stale: boolean;
  readonly finite: boolean;
  /** XXH64 of the body, and its SHA-256 where that was asked for. */
  readonly checksum: bigint;
  readonly digest: string | undefined;
}

export type RunEvent = { readonly now: number } & (
  | { readonly kind: 'connected'; readonly slot: number; readonly session: string }
  | {
      readonly kind: 'message';
      readonly slot: number;
      readonly message: WorkerMessage;
      /** Of the message's tensor, as its sender computed it. */
      readonly checksum?: bigint | undefined;
    }
  /** A WebSocket ping or pong. */
  | { readonly kind: 'control'; readonly slot: number }
  | { readonly kind: 'disconnected'; readonly slot: number; readonly reason: string }
  | { readonly kind: 'received'; readonly verdict: Verdict }
  | { readonly kind: 'updated'; readonly finite: boolean }
  | { readonly kind: 'evaluated'; readonly finite: boolean }
  | { readonly kind: 'stop'; readonly code: ErrorCode }
  /** No more than so many workers are going to come before the first step. */
  | { readonly kind: 'expect'; readonly workers: number }
  | { readonly kind: 'tick' }
);
