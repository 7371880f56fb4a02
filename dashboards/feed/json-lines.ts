import type { z } from 'zod';
import { MAX_JSON_LINE_BYTES } from '../../shared/limits.ts';

/**
 * The lines of a .jsonl file that match the schema. Other lines are skipped without an error, since
 * the result is only displayed. Holds at most one piece and one line in memory.
 */
export function* jsonLines<T>(pieces: Iterable<Uint8Array>, schema: z.ZodType<T>): Generator<T> {
  for (const line of linesIn(pieces)) {
    try {
      const parsed = schema.safeParse(JSON.parse(line));
      if (parsed.success) yield parsed.data;
    } catch {
      // The line is not JSON.
    }
  }
}

function* linesIn(pieces: Iterable<Uint8Array>): Generator<string> {
  let begun: Uint8Array[] = [];
  let length = 0;
  for (const piece of pieces) {
    let at = 0;
    for (let end = piece.indexOf(0x0a); end >= 0; end = piece.indexOf(0x0a, at)) {
      length += end - at;
      if (length > 0 && length <= MAX_JSON_LINE_BYTES)
        yield Buffer.concat([...begun, piece.subarray(at, end)]).toString('utf8');
      begun = [];
      length = 0;
      at = end + 1;
    }
    length += piece.length - at;
    // The piece's buffer is reused, so the unfinished line is copied. Lines that are too long are
    // dropped.
    if (length <= MAX_JSON_LINE_BYTES) begun.push(piece.slice(at));
    else begun = [];
  }
  // If a crash cut off this line, it is not JSON and will be skipped.
  if (begun.length > 0) yield Buffer.concat(begun).toString('utf8');
}

/** Yields the values unchanged and calls `see` with each. */
export function* tap<T>(values: Iterable<T>, see: (value: T) => void): Generator<T> {
  for (const value of values) {
    see(value);
    yield value;
  }
}
