import type { ErrorCode } from '../shared/errors.ts';
import type { Effect, Next, RunLogEvent, RunState } from './state.ts';

/** The shell closes the connection; its `disconnected` event then makes the worker leave. */
export function close(state: RunState, slot: number, code: ErrorCode, message: string): Next {
  return { state, effects: [{ kind: 'close', slot, code, message }] };
}

/** A line of events.jsonl and of the log. */
export function log(
  event: RunLogEvent,
  message: string,
  fields: Readonly<Record<string, unknown>>,
  level: 'info' | 'warn' = 'info',
): Effect {
  return { kind: 'log', level, event, message, fields };
}
