import { z } from 'zod';
import type { EventLine } from './api.ts';
import { jsonLines } from './json-lines.ts';

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

/** An event of the run as people read it; `time` is ISO 8601. */
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
  /**
   * Seconds since its coordinator opened the run; absent in runs of versions before it was written.
   */
  elapsed: z.number().min(0).optional(),
  event: z.string(),
});
export type RecordedEvent = z.infer<typeof eventSchema>;

/** The events of an events.jsonl's whole lines; what is no event is left out. */
export function eventsIn(pieces: Iterable<Uint8Array>): Generator<RecordedEvent> {
  return jsonLines(pieces, eventSchema);
}

function messageOf(event: string, fields: Fields): string {
  const { message } = fields;
  const step = String(fields['step']);
  switch (event) {
    case 'start':
      return `coordinator started (term ${String(fields['term'])})${step === '0' ? '' : `, going on after step ${step}`}`;
    case 'step':
      return `step ${step} is done`;
    case 'evaluation':
      return `evaluated after step ${step}: accuracy ${percentOf(fields)}`;
    case 'checkpoint':
      return `checkpoint of step ${step}`;
    case 'checkpoint_failed':
      return `no checkpoint of step ${step}: ${String(message)}`;
    case 'end':
      return `the run is ${String(fields['state'])} after step ${step}`;
    default:
      return typeof message === 'string' ? message : event.replaceAll('_', ' ');
  }
}

function percentOf({ correct, samples }: Fields): string {
  return `${((100 * Number(correct)) / Number(samples)).toFixed(2)} %`;
}
