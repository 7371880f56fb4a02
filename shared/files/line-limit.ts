import { ClusterError } from '../errors.ts';
import { MAX_JSON_LINE_BYTES } from '../limits.ts';

/**
 * Passes on the pieces of a file of JSON lines. Rejects with DATA as soon as a line has more than
 * MAX_JSON_LINE_BYTES, so that no reader searches a damaged or sparse file for its next line feed.
 */
export async function* linesWithin(
  pieces: AsyncIterable<Uint8Array>,
  path: string,
): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const piece of pieces) {
    let at = 0;
    for (let end = piece.indexOf(0x0a); end >= 0; end = piece.indexOf(0x0a, at)) {
      if (length + end - at > MAX_JSON_LINE_BYTES) throw lineTooLong(path);
      length = 0;
      at = end + 1;
    }
    length += piece.length - at;
    if (length > MAX_JSON_LINE_BYTES) throw lineTooLong(path);
    yield piece;
  }
}

/** The error for a file of JSON lines with a line that no writer wrote. */
export function lineTooLong(path: string): ClusterError {
  return new ClusterError(
    'DATA',
    `${path} is damaged: a line has more than ${MAX_JSON_LINE_BYTES} bytes (MAX_JSON_LINE_BYTES)`,
    { fix: 'move the file away; the run can be used without it' },
  );
}
