import type { ErrorCode } from '../../shared/errors.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import type { GpuReading } from '../../shared/gpu-reading.ts';
import type { CoordinatorMessage } from '../../shared/wire/messages.ts';
import type { Node } from '../../shared/arithmetic/tree.ts';
import type { RunState, Weights } from './state.ts';
import type { Task } from './task.ts';

export type WeightsMessage = Extract<CoordinatorMessage, { kind: 'step' | 'evaluate' }>;
export type HeaderMessage = Exclude<CoordinatorMessage, WeightsMessage>;

export interface Outcome {
  readonly state: 'finished' | 'interrupted' | 'failed' | 'diverged';
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly fix?: string;
}

export type Effect =
  | { readonly kind: 'send'; readonly slot: number; readonly message: HeaderMessage }
  /** Send one frame, encoded once, to all these slots. */
  | {
      readonly kind: 'broadcast';
      readonly slots: readonly number[];
      readonly message: WeightsMessage;
    }
  /** Copy the current message's body into the receive buffer and check it; `received` follows. */
  | {
      readonly kind: 'receive';
      readonly task: Task['kind'];
      readonly part: number;
      readonly slot: number;
      readonly correct: number;
      readonly microseconds: number;
      /** Whether to compute its SHA-256 as well. */
      readonly isDigested: boolean;
    }
  /** Accept the received body as the part's result. */
  | { readonly kind: 'accept'; readonly task: Task['kind']; readonly part: number }
  /** node = left + right, or left + 0 if the right subtree has only padding. */
  | { readonly kind: 'combine'; readonly node: Node; readonly rightIsPadding: boolean }
  /** Drop the sum at this node, whose parts are recomputed. */
  | { readonly kind: 'forget'; readonly node: Node }
  /** Update the weights with the root's gradient; `updated` follows. */
  | { readonly kind: 'update'; readonly step: number; readonly correct: number }
  /**
   * Record the update just made. The next weights are sent first, so that no worker waits for the
   * recording.
   */
  | { readonly kind: 'record' }
  /** Write a checkpoint of the weights and the optimizer's state while steps continue. */
  | { readonly kind: 'checkpoint' }
  /** Score all predictions; `evaluated` follows. */
  | { readonly kind: 'evaluate'; readonly step: number; readonly set: EvaluatedSet }
  /** Make the best or the last weights the current ones; `restored` follows. */
  | { readonly kind: 'restore'; readonly which: Weights }
  /** Report this worker's GPU readings to the viewers. */
  | { readonly kind: 'devices'; readonly worker: string; readonly gpus: readonly GpuReading[] }
  | {
      readonly kind: 'close';
      readonly slot: number;
      readonly code: ErrorCode;
      readonly message: string;
    }
  | {
      readonly kind: 'log';
      readonly level: 'info' | 'warn';
      readonly event: RunLogEvent;
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }
  | { readonly kind: 'end'; readonly outcome: Outcome };

/** Names of events in events.jsonl. */
export type RunLogEvent =
  | 'hello'
  | 'ready'
  | 'gathering'
  | 'running'
  | 'first_shard'
  | 'lost'
  | 'lease_again'
  | 'set_aside'
  | 'back'
  | 'unaudited'
  | 'undecided'
  | 'differing'
  | 'step'
  | 'evaluation'
  | 'stopped_early'
  | 'waiting'
  | 'stopping'
  | 'standing_by'
  | 'refused';

export interface Next {
  readonly state: RunState;
  readonly effects: readonly Effect[];
}

/** Runs `decide` on `next`'s state, and appends the resulting effects. */
export function andThen(next: Next, decide: (state: RunState) => Next): Next {
  const after = decide(next.state);
  return {
    state: after.state,
    effects: next.effects.length === 0 ? after.effects : [...next.effects, ...after.effects],
  };
}

/** Closes the connection. The worker is removed once the shell reports `disconnected`. */
export function close(state: RunState, slot: number, code: ErrorCode, message: string): Next {
  return { state, effects: [{ kind: 'close', slot, code, message }] };
}

/** A line in events.jsonl and in the log. */
export function log(
  event: RunLogEvent,
  message: string,
  fields: Readonly<Record<string, unknown>>,
  level: 'info' | 'warn' = 'info',
): Effect {
  return { kind: 'log', level, event, message, fields };
}
