import type { z } from 'zod';
import { MAX_JSON_LINE_BYTES } from '../../shared/limits.ts';

/**
 * The lines of a .jsonl file that are what the schema says; all others are left out. For what is
 * only shown: nothing depends on it, and whoever wants to know what is wrong with a line reads the
 * file. Whatever the length of the file, no more than a piece and a line is in memory.
 */
export function* jsonLines<T>(pieces: Iterable<Uint8Array>, schema: z.ZodType<T>): Generator<T> {
  for (const line of linesIn(pieces)) {
    try {
      const parsed = schema.safeParse(JSON.parse(line));
      if (parsed.success) yield parsed.data;
    } catch {
      // It is not JSON.
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
    // The piece is read into again; of a line that is too long nothing is kept.
    if (length <= MAX_JSON_LINE_BYTES) begun.push(piece.slice(at));
    else begun = [];
  }
  // A line that a crash has torn is not JSON.
  if (begun.length > 0) yield Buffer.concat(begun).toString('utf8');
}
