import type { FileHandle } from 'node:fs/promises';
import { openEntry } from '../../shared/disk/regular-file.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { MAX_METRICS_LINE_BYTES, MAX_STEPS } from '../../shared/limits.ts';
import {
  BOARD_CURVE_READ_BYTES,
  MAX_BOARD_EVALUATIONS,
  MAX_BOARD_METRICS_BYTES,
  MAX_BOARD_POINTS,
} from '../../shared/limits/board.ts';
import type { EvaluationPoint } from '../feed/api.ts';
import type { CurveStep } from '../feed/curve-history.ts';
import type { BoardCurve } from './api.ts';
import { ThinnedCurve } from './thinned-curve.ts';

const PIECE_BYTES = 1024 ** 2;
/**
 * The bytes before the position, which show whether the file is still the same: they contain the
 * last line's digest, which covers all lines.
 */
const MARK_BYTES = 64;

/**
 * The curve in a metrics.jsonl file that may be growing. Reads each line once, and trusts the file:
 * only `verify` and `show` check its digests.
 */
export class CurveFile {
  readonly #path: string;
  readonly #set: EvaluatedSet;
  #curve = new ThinnedCurve(MAX_BOARD_POINTS);
  #evaluations: EvaluationPoint[] = [];
  /** The end of the last whole line that was read. */
  #position = 0;
  #mark = '';
  #inode = 0;
  #lines = 0;
  #problem = '';
  #isPartial = false;

  /** `set` is the set that the run evaluates after each epoch. */
  constructor(path: string, set: EvaluatedSet) {
    this.#path = path;
    this.#set = set;
  }

  /** Reads what is new, within the limit for one request. Rejects if the file cannot be read. */
  async read(): Promise<BoardCurve> {
    const { handle, size } = await openEntry(this.#path);
    try {
      await this.#returnIfReplaced(handle, size);
      await this.#advance(handle, size);
    } finally {
      await handle.close();
    }
    const problem =
      this.#problem === '' && this.#position >= MAX_BOARD_METRICS_BYTES
        ? 'the file is too large; the curve shows its beginning'
        : this.#problem;
    const evaluations = this.#evaluations;
    return { ...this.#curve.points(), evaluations, isPartial: this.#isPartial, problem };
  }

  /** Starts over if the file is another one, or has become shorter. */
  async #returnIfReplaced(handle: FileHandle, size: number): Promise<void> {
    const { ino } = await handle.stat();
    const isSame =
      ino === this.#inode &&
      size >= this.#position &&
      (await markBefore(handle, this.#position)) === this.#mark &&
      this.#problem === '';
    this.#inode = ino;
    if (isSame) return;
    this.#curve = new ThinnedCurve(MAX_BOARD_POINTS);
    this.#evaluations = [];
    this.#position = 0;
    this.#lines = 0;
    this.#problem = '';
  }

  async #advance(handle: FileHandle, size: number): Promise<void> {
    const end = Math.min(size, this.#position + BOARD_CURVE_READ_BYTES, MAX_BOARD_METRICS_BYTES);
    // Large enough for one more line after the end of this part.
    const bytes = Math.min(PIECE_BYTES, end - this.#position + 2 * MAX_METRICS_LINE_BYTES);
    const piece = Buffer.allocUnsafeSlow(Math.max(0, bytes));
    for (let isDone = false; !isDone && this.#position < end && this.#problem === '';) {
      const { bytesRead } = await handle.read(piece, 0, piece.length, this.#position);
      const taken = this.#take(piece.toString('latin1', 0, bytesRead));
      this.#position += taken;
      // The rest is a line that is still being written, or that a crash cut off.
      isDone = taken === 0 || bytesRead < piece.length;
      if (taken === 0 && bytesRead > MAX_METRICS_LINE_BYTES)
        this.#problem = this.#damage('it is too long');
    }
    this.#isPartial =
      this.#problem === '' &&
      this.#position >= end &&
      end < Math.min(size, MAX_BOARD_METRICS_BYTES);
    this.#mark = await markBefore(handle, this.#position);
  }

  /** Adds the whole lines of a text; returns the number of characters that they take. */
  #take(text: string): number {
    let at = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', at)) {
      const line = parseLine(text.slice(at, end));
      if (line === undefined) {
        this.#problem = this.#damage('the curve shows the steps before it');
        return at;
      }
      this.#lines += 1;
      at = end + 1;
      if (line.kind === 'step') this.#curve.add(line);
      else if (line.set === this.#set) this.#evaluations = withPoint(this.#evaluations, line);
    }
    return at;
  }

  #damage(consequence: string): string {
    return `line ${this.#lines + 1} of metrics.jsonl is damaged; ${consequence}`;
  }
}

async function markBefore(handle: FileHandle, position: number): Promise<string> {
  const length = Math.min(MARK_BYTES, position);
  const mark = Buffer.alloc(length);
  const { bytesRead } = await handle.read(mark, 0, length, position - length);
  return mark.toString('latin1', 0, bytesRead);
}

type Line =
  | ({ readonly kind: 'step' } & CurveStep)
  | ({ readonly kind: 'evaluation'; readonly set: unknown } & Omit<CurveStep, 'milliseconds'>);

/** Checks only what is drawn: a schema would take ten times as long. */
function parseLine(text: string): Line | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  if (!('kind' in json && 'step' in json && 'samples' in json && 'loss' in json)) return undefined;
  if (!('correct' in json)) return undefined;
  const { kind, step, samples, loss, correct } = json;
  if (!isCount(step, 1) || !isCount(samples, 1) || !isCount(correct, 0)) return undefined;
  if (!isFinite(loss)) return undefined;
  const common = { step, samples, loss, correct };
  if (kind === 'evaluation')
    // Older versions evaluated only the test set, and did not name it.
    return { kind, set: 'set' in json ? json.set : 'test', ...common };
  if (kind !== 'step' || !('milliseconds' in json)) return undefined;
  const { milliseconds } = json;
  if (!isFinite(milliseconds) || milliseconds < 0) return undefined;
  return { kind, ...common, milliseconds };
}

function isCount(value: unknown, min: number): value is number {
  return Number.isInteger(value) && Number(value) >= min && Number(value) <= MAX_STEPS;
}

function isFinite(value: unknown): value is number {
  return Number.isFinite(value);
}

function withPoint(points: EvaluationPoint[], line: Omit<CurveStep, 'milliseconds'>) {
  const { step, loss, correct, samples } = line;
  if (step <= (points.at(-1)?.[0] ?? 0)) return points;
  const more: EvaluationPoint[] = [...points, [step, loss, correct / samples]];
  return more.length > MAX_BOARD_EVALUATIONS ? more.filter((_, i) => i % 2 === 1) : more;
}
