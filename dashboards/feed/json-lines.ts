import type { z } from 'zod';
import { MAX_JSON_LINE_BYTES } from '../../shared/limits.ts';

/**
 * The lines of a .jsonl file that match the schema. Other lines are skipped without an error, since
 * the result is only displayed. Holds at most one piece and one line in memory.
 */
export function* jsonLines<T>(pieces: Iterable<Uint8Array>, schema: z.ZodType<T>): Generator<T> {
  const lines = new JsonLines(schema);
  for (const piece of pieces) yield* lines.read(piece);
  yield* lines.rest();
}

/** Like `jsonLines`, for pieces that are read without blocking. */
export async function* jsonLinesFrom<T>(
  pieces: AsyncIterable<Uint8Array>,
  schema: z.ZodType<T>,
): AsyncGenerator<T> {
  const lines = new JsonLines(schema);
  for await (const piece of pieces) yield* lines.read(piece);
  yield* lines.rest();
}

/** The lines of a .jsonl file that is read in pieces. */
export class JsonLines<T> {
  readonly #schema: z.ZodType<T>;
  #begun: Uint8Array[] = [];
  #length = 0;

  constructor(schema: z.ZodType<T>) {
    this.#schema = schema;
  }

  /** Yields the lines that end in the next piece. */
  *read(piece: Uint8Array): Generator<T> {
    let at = 0;
    for (let end = piece.indexOf(0x0a); end >= 0; end = piece.indexOf(0x0a, at)) {
      this.#length += end - at;
      if (this.#length > 0 && this.#length <= MAX_JSON_LINE_BYTES)
        yield* this.#parsed([...this.#begun, piece.subarray(at, end)]);
      this.#begun = [];
      this.#length = 0;
      at = end + 1;
    }
    this.#length += piece.length - at;
    // The piece's buffer is reused, so the unfinished line is copied. Lines that are too long are
    // dropped.
    if (this.#length <= MAX_JSON_LINE_BYTES) this.#begun.push(piece.slice(at));
    else this.#begun = [];
  }

  /** Yields the line after the last line feed. If a crash cut it off, it is not JSON. */
  *rest(): Generator<T> {
    if (this.#begun.length > 0) yield* this.#parsed(this.#begun);
  }

  *#parsed(parts: readonly Uint8Array[]): Generator<T> {
    let json: unknown;
    try {
      json = JSON.parse(Buffer.concat(parts).toString('utf8'));
    } catch {
      // The line is not JSON.
      return;
    }
    const parsed = this.#schema.safeParse(json);
    if (parsed.success) yield parsed.data;
  }
}

/** Yields the values unchanged and calls `see` with each. */
export function* tap<T>(values: Iterable<T>, see: (value: T) => void): Generator<T> {
  for (const value of values) {
    see(value);
    yield value;
  }
}

/** Like `tap`, for values that are read without blocking. */
export async function* tapFrom<T>(
  values: AsyncIterable<T>,
  see: (value: T) => void,
): AsyncGenerator<T> {
  for await (const value of values) {
    see(value);
    yield value;
  }
}
