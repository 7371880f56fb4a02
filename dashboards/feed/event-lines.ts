import { z } from 'zod';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import type { EventLine } from './api.ts';
import { jsonLines, jsonLinesFrom } from './json-lines.ts';

type Fields = Readonly<Record<string, unknown>>;

const warnings = new Set([
  'lost',
  'lease_again',
  'set_aside',
  'unaudited',
  'undecided',
  'differing',
  'waiting',
  'refused',
  'checkpoint_failed',
]);

/** The sentence that the page shows for an event; `time` is ISO 8601. */
export function eventLine(time: string, event: string, fields: Fields): EventLine {
  return {
    time,
    event,
    level: warnings.has(event) ? 'warn' : 'info',
    message: messageOf(event, fields),
  };
}

const eventSchema = z.looseObject({
  time: z.iso.datetime(),
  /** Seconds since the coordinator opened the run; absent in events from older versions. */
  elapsed: z.number().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  event: z.string(),
});
export type RecordedEvent = z.infer<typeof eventSchema>;

/** The events in the complete lines of an events.jsonl file; other lines are skipped. */
export function eventsIn(pieces: Iterable<Uint8Array>): Generator<RecordedEvent> {
  return jsonLines(pieces, eventSchema);
}

/** Like `eventsIn`, for pieces that are read without blocking. */
export function eventsFrom(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<RecordedEvent> {
  return jsonLinesFrom(pieces, eventSchema);
}

function messageOf(event: string, fields: Fields): string {
  const { message } = fields;
  const step = String(fields['step']);
  switch (event) {
    case 'start':
      return (
        `coordinator started (term ` +
        `${String(fields['term'])})${step === '0' ? '' : `, resuming after step ${step}`}`
      );
    case 'step':
      return `step ${step} completed`;
    case 'evaluation':
      return `evaluated after step ${step}: ${setOf(fields)} accuracy ${percentOf(fields)}`;
    case 'checkpoint':
      return `checkpoint of step ${step} written`;
    case 'checkpoint_failed':
      return `checkpoint of step ${step} failed: ${String(message)}`;
    case 'end':
      return `the run ended after step ${step}: ${String(fields['state'])}`;
    default:
      return typeof message === 'string' ? message : event.replaceAll('_', ' ');
  }
}

/** The set of an evaluation; events from older versions do not name the test set. */
function setOf({ set }: Fields): EvaluatedSet {
  return set === 'validation' ? set : 'test';
}

function percentOf({ correct, samples }: Fields): string {
  return `${((100 * Number(correct)) / Number(samples)).toFixed(2)} %`;
}
