import { hash } from 'node:crypto';
import { z } from 'zod';
import { assert, messageOf } from '../errors.ts';
import { evaluatedSets } from '../evaluation/evaluated-set.ts';
import { MAX_METRICS_LINE_BYTES, MAX_STEPS } from '../limits.ts';
import { issuesOf } from '../schema.ts';

/**
 * The lines of metrics.jsonl. Each has a `digest`: the first 16 hexadecimal digits of the SHA-256
 * of the previous line's digest (16 zeros before the first line) and the line without its digest
 * field. A reader thus detects a changed, lost, duplicated or moved line.
 */
const count = z.int().min(0).max(MAX_STEPS);
const digest = z.string().regex(/^[0-9a-f]{16}$/);
const link = z.string().regex(/^[0-9a-f]{64}$/);
const common = {
  step: count.min(1),
  epoch: count.min(1),
  samples: count.min(1),
  loss: z.number(),
  correct: count,
};

export const metricsLineSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('step'),
    ...common,
    milliseconds: z.number().min(0),
    /** The step's learning rate; absent in lines from an older version. */
    learning_rate: z.number().min(0).optional(),
    /** Checksum of the weights after the step. */
    weights: z.string().regex(/^[0-9a-f]{16}$/),
    /** The step's link (chain.ts). */
    chain: link,
    digest,
  }),
  z.strictObject({
    kind: z.literal('evaluation'),
    /** Absent in lines from an older version, which evaluated only the test set. */
    set: z.enum(evaluatedSets).default('test'),
    ...common,
    /** The evaluation's link, if it counts for early stopping. */
    chain: link.optional(),
    digest,
  }),
]);

export type MetricsLine = z.infer<typeof metricsLineSchema>;
export type StepLine = Extract<MetricsLine, { kind: 'step' }>;
export type EvaluationLine = Extract<MetricsLine, { kind: 'evaluation' }>;
export type StepMetrics = Omit<StepLine, 'kind' | 'digest' | 'weights'> & {
  readonly weights: bigint;
};
export type EvaluationMetrics = Omit<EvaluationLine, 'kind' | 'digest'>;

export const FIRST_DIGEST = '0'.repeat(16);

/** An XXH64 as written to a run's files. */
export function checksumText(checksum: bigint): string {
  return checksum.toString(16).padStart(16, '0');
}

/**
 * Formats successive lines, each with its digest and a line feed. String concatenation keeps the
 * cost at about 3 us per step.
 */
export class MetricsFormatter {
  #digest: string;

  /** Continues after the line with this digest. */
  constructor(previousDigest: string = FIRST_DIGEST) {
    this.#digest = previousDigest;
  }

  /** The digest of the last line. */
  get digest(): string {
    return this.#digest;
  }

  step(metrics: StepMetrics): string {
    const { step, epoch, samples, loss, correct, milliseconds, weights, chain } = metrics;
    const { learning_rate: rate } = metrics;
    assert(Number.isFinite(loss), `the loss of step ${step} is finite`);
    return this.#seal(
      `{"kind":"step","step":${step},"epoch":${epoch},"samples":${samples},"loss":${loss}` +
        `,"correct":${correct},"milliseconds":${Math.round(milliseconds * 1000) / 1000}` +
        (rate === undefined ? '' : `,"learning_rate":${rate}`) +
        `,"weights":"${checksumText(weights)}","chain":"${chain}"`,
    );
  }

  evaluation({ set, step, epoch, samples, loss, correct, chain }: EvaluationMetrics): string {
    assert(Number.isFinite(loss), `the loss of the evaluation after step ${step} is finite`);
    return this.#seal(
      `{"kind":"evaluation","set":"${set}","step":${step},"epoch":${epoch}` +
        `,"samples":${samples},"loss":${loss},"correct":${correct}` +
        (chain === undefined ? '' : `,"chain":"${chain}"`),
    );
  }

  #seal(open: string): string {
    this.#digest = digestOf(this.#digest, open);
    return `${open},"digest":"${this.#digest}"}\n`;
  }
}

export interface Metrics {
  /** All lines before the first invalid one. */
  readonly lines: MetricsLine[];
  /** The size of these lines in bytes; a writer that resumes truncates the file to this size. */
  readonly wholeBytes: number;
  /**
   * Whether there was text after the last line feed (a line that a crash cut off), which is
   * ignored.
   */
  readonly torn: boolean;
  /** The first whole line that is invalid, counted from 1. */
  readonly bad: { readonly line: number; readonly reason: string } | undefined;
}

/**
 * Reads a metrics.jsonl file that fits in a string and verifies the digest of every line. Never
 * throws.
 */
export function readMetrics(text: string): Metrics {
  const reader = new MetricsReader();
  const lines = [...reader.read(Buffer.from(text))];
  const { position, rest, bad } = reader;
  return { lines, wholeBytes: position.bytes, torn: bad === undefined && rest !== '', bad };
}

/** The end of a line: its offset in the file and the line's digest. */
export interface LinePosition {
  readonly bytes: number;
  readonly digest: string;
}

export const FIRST_LINE: LinePosition = { bytes: 0, digest: FIRST_DIGEST };

/**
 * Reads a metrics.jsonl file piece by piece and verifies the digest of every line. Only one piece
 * and one line are in memory at a time.
 */
export class MetricsReader {
  #position: LinePosition;
  #count = 0;
  #rest = '';
  #bad: Metrics['bad'];

  /** Starts after the line that ends at `after`. */
  constructor(after: LinePosition = FIRST_LINE) {
    this.#position = after;
  }

  /** The end of the last valid line. */
  get position(): LinePosition {
    return this.#position;
  }

  /** Number of valid lines so far. */
  get count(): number {
    return this.#count;
  }

  /** The text after the last line feed; at the end of the file, a line that a crash cut off. */
  get rest(): string {
    return this.#rest;
  }

  /** The first whole line that is invalid. Reading stops there. */
  get bad(): Metrics['bad'] {
    return this.#bad;
  }

  /**
   * Yields the lines that end in the next piece of the file. Consume all of them before passing
   * another piece.
   */
  *read(piece: Uint8Array): Generator<MetricsLine> {
    if (this.#bad !== undefined) return;
    // A line with a valid digest is ASCII, so its characters are its bytes.
    const text =
      this.#rest + Buffer.from(piece.buffer, piece.byteOffset, piece.length).toString('latin1');
    let at = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      const line = parseLine(text.slice(at, end), this.#position.digest);
      if (typeof line === 'string') return this.#end(line);
      this.#position = { bytes: this.#position.bytes + end + 1 - at, digest: line.digest };
      this.#count += 1;
      at = end + 1;
      yield line;
    }
    this.#rest = text.slice(at);
    if (this.#rest.length > MAX_METRICS_LINE_BYTES)
      this.#end(`it has more than ${MAX_METRICS_LINE_BYTES} bytes (MAX_METRICS_LINE_BYTES)`);
  }

  #end(reason: string): void {
    this.#bad = { line: this.#count + 1, reason };
    this.#rest = '';
  }
}

/**
 * Returns the last line of a piece of a metrics.jsonl file if that line has the given digest and
 * the digest matches the line and the previous one. The piece must contain the previous line as
 * well, unless it starts at the beginning of the file (`isStart`).
 */
export function lastLineOf(
  piece: Uint8Array,
  digest: string,
  isStart: boolean,
): MetricsLine | undefined {
  const texts = Buffer.from(piece).toString('latin1').split('\n');
  const [rest, text, before] = [texts.pop(), texts.pop(), texts.pop()];
  const first = isStart ? FIRST_DIGEST : undefined;
  const previous = before === undefined ? first : SEAL.exec(before)?.[1];
  if (rest !== '' || text === undefined || previous === undefined) return undefined;
  const line = parseLine(text, previous);
  return typeof line !== 'string' && line.digest === digest ? line : undefined;
}

/** The lines of a metrics.jsonl file that is read in pieces, up to the first invalid line. */
export function* metricsLines(
  pieces: Iterable<Uint8Array>,
  reader = new MetricsReader(),
): Generator<MetricsLine> {
  for (const piece of pieces) {
    yield* reader.read(piece);
    if (reader.bad !== undefined) return;
  }
}

/** Like `metricsLines`, for pieces that are read without blocking. */
export async function* metricsLinesFrom(
  pieces: AsyncIterable<Uint8Array>,
  reader = new MetricsReader(),
): AsyncGenerator<MetricsLine, void> {
  for await (const piece of pieces) {
    yield* reader.read(piece);
    if (reader.bad !== undefined) return;
  }
}

const SEAL = /,"digest":"([0-9a-f]{16})"\}$/;

/** The line, or the reason why it is invalid. */
function parseLine(text: string, previous: string): MetricsLine | string {
  const seal = SEAL.exec(text);
  if (seal === null) return 'it does not end with a digest';
  if (digestOf(previous, text.slice(0, seal.index)) !== seal[1])
    return 'its digest does not match its bytes and the line before it';
  try {
    const parsed = metricsLineSchema.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : issuesOf(parsed.error);
  } catch (error) {
    return `it is not JSON: ${messageOf(error)}`;
  }
}

/** `open` is the part of the line before its digest field. */
function digestOf(previous: string, open: string): string {
  return hash('sha256', `${previous}${open}}`, 'hex').slice(0, 16);
}
