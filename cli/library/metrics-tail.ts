import type { FileHandle } from 'node:fs/promises';
import { metricsLineSchema, type MetricsLine } from '../../shared/files/metrics.ts';
import { MAX_METRICS_LINE_BYTES } from '../../shared/limits.ts';
import { lstatIfThere, openEntry } from '../../shared/disk/regular-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { TrainingEvaluation, TrainingStep } from './public-types.ts';

const PIECE_BYTES = 16 * MAX_METRICS_LINE_BYTES;

/**
 * Follows the metrics.jsonl of a run that is written by another process. A coordinator that starts
 * again may cut lines off and write them again: the file is then read from its beginning, without
 * the lines that were returned before.
 */
export class MetricsTail {
  /** Bytes and lines that were read. */
  #offset = 0;
  #lines = 0;
  /** Lines that were returned. */
  #returned = 0;
  readonly #piece = Buffer.alloc(PIECE_BYTES);

  /** The complete lines that were added since the last call; none if there is no file yet. */
  async *read(file: string): AsyncGenerator<TrainingStep | TrainingEvaluation, void, void> {
    if ((await lstatIfThere(file)) === undefined) return;
    const { handle } = await openEntry(file);
    try {
      for (;;) {
        const lines = await this.#nextLines(handle, file);
        if (lines === undefined) this.#restart();
        else if (lines.length === 0) return;
        else yield* this.#unreturned(lines);
      }
    } finally {
      await handle.close();
    }
  }

  #restart(): void {
    this.#offset = 0;
    this.#lines = 0;
  }

  /** The complete lines of the next piece; undefined if the file was written again meanwhile. */
  async #nextLines(handle: FileHandle, file: string): Promise<MetricsLine[] | undefined> {
    const { bytesRead } = await handle.read(this.#piece, 0, PIECE_BYTES, this.#offset);
    const end = this.#piece.subarray(0, bytesRead).lastIndexOf('\n') + 1;
    const texts = this.#piece.toString('utf8', 0, end).split('\n').slice(0, -1);
    const lines = texts.map(parsedLine);
    const whole = lines.filter((line) => line !== undefined);
    if (whole.length < lines.length) {
      if (this.#offset > 0) return undefined;
      throw new ClusterError('DATA', `line ${this.#lines + 1} of ${file} is damaged`);
    }
    this.#offset += end;
    return whole;
  }

  *#unreturned(
    lines: readonly MetricsLine[],
  ): Generator<TrainingStep | TrainingEvaluation, void, void> {
    for (const line of lines) {
      this.#lines++;
      if (this.#lines <= this.#returned) continue;
      this.#returned = this.#lines;
      yield eventOf(line);
    }
  }
}

function parsedLine(text: string): MetricsLine | undefined {
  try {
    return metricsLineSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

function eventOf(line: MetricsLine): TrainingStep | TrainingEvaluation {
  const { step, epoch, samples, loss, correct } = line;
  const common = { step, epoch, samples, loss, accuracy: correct / samples };
  return line.kind === 'evaluation'
    ? { kind: 'evaluation', set: line.set, ...common }
    : {
        kind: 'step',
        ...common,
        learningRate: line.learning_rate,
        milliseconds: line.milliseconds,
      };
}
