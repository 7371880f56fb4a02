import type { Marks } from '../shared/wire/message-fields.ts';

/** What is known of a traced step or evaluation before its results are computed. */
export type FirstMarks = Pick<Marks, 'received' | 'prefetched'>;

/** This worker's clock, as marks have it. */
export function markNow(): number {
  return microsecondsOf(performance.now());
}

/** The marks of a result whose input has just been built; nothing if it is not traced. */
export function marksSince(started: number, first: FirstMarks | undefined): { marks?: Marks } {
  if (first === undefined) return {};
  return { marks: { ...first, begun: microsecondsOf(started), built: markNow() } };
}

function microsecondsOf(milliseconds: number): number {
  return Math.round(1000 * milliseconds);
}
