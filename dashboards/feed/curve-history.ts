import { assert } from '../../shared/errors.ts';
import type { CurvePoint } from './api.ts';

/** One step of a curve. */
export interface CurveStep {
  readonly step: number;
  readonly samples: number;
  /** Mean over the samples. */
  readonly loss: number;
  readonly correct: number;
  readonly milliseconds: number;
}

/** Sums over adjacent steps. */
interface Bucket {
  last: number;
  steps: number;
  samples: number;
  loss: number;
  correct: number;
  milliseconds: number;
}

/**
 * The loss, the accuracy and the speed of a run, in a bounded number of points however long the run
 * is. Each point is the mean over adjacent steps. When there are too many points, they are merged
 * in pairs, and every later point covers twice as many steps. No sample is left out of the means.
 */
export class Curve {
  readonly #maxPoints: number;
  #buckets: Bucket[] = [];
  #stepsPerPoint = 1;

  /** `maxPoints` must be even. */
  constructor(maxPoints: number) {
    assert(maxPoints > 0 && maxPoints % 2 === 0, `${maxPoints} is even`);
    this.#maxPoints = maxPoints;
  }

  /**
   * Returns false for a step that is not newer than the last one: a resumed run computes some steps
   * again.
   */
  add({ step, samples, loss, correct, milliseconds }: CurveStep): boolean {
    if (step <= this.#last) return false;
    const bucket = this.#bucketForNext();
    bucket.last = step;
    bucket.steps += 1;
    bucket.samples += samples;
    bucket.loss += loss * samples;
    bucket.correct += correct;
    bucket.milliseconds += milliseconds;
    return true;
  }

  /** Appends the later points of another curve. */
  join(later: Curve): void {
    for (const { last, steps, samples, loss, correct, milliseconds } of later.#buckets) {
      if (last <= this.#last) continue;
      const bucket = this.#bucketForNext();
      bucket.last = last;
      bucket.steps += steps;
      bucket.samples += samples;
      bucket.loss += loss;
      bucket.correct += correct;
      bucket.milliseconds += milliseconds;
    }
  }

  points(): CurvePoint[] {
    return this.#buckets.map(pointOf);
  }

  /** Returns the points and clears the curve. */
  take(): CurvePoint[] {
    const points = this.points();
    this.#buckets = [];
    this.#stepsPerPoint = 1;
    return points;
  }

  get #last(): number {
    return this.#buckets.at(-1)?.last ?? 0;
  }

  /** The last bucket, or a new one if the last is full. */
  #bucketForNext(): Bucket {
    const last = this.#buckets.at(-1);
    if (last !== undefined && last.steps < this.#stepsPerPoint) return last;
    if (this.#buckets.length >= this.#maxPoints) this.#halve();
    const bucket = { last: 0, steps: 0, samples: 0, loss: 0, correct: 0, milliseconds: 0 };
    this.#buckets.push(bucket);
    return bucket;
  }

  #halve(): void {
    const halved: Bucket[] = [];
    for (let i = 0; i < this.#buckets.length; i += 2) {
      const [left, right] = [this.#buckets[i], this.#buckets[i + 1]];
      if (left !== undefined) halved.push(right === undefined ? left : merge(left, right));
    }
    this.#buckets = halved;
    this.#stepsPerPoint *= 2;
  }
}

function merge(left: Bucket, right: Bucket): Bucket {
  return {
    last: right.last,
    steps: left.steps + right.steps,
    samples: left.samples + right.samples,
    loss: left.loss + right.loss,
    correct: left.correct + right.correct,
    milliseconds: left.milliseconds + right.milliseconds,
  };
}

function pointOf({ last, samples, loss, correct, milliseconds }: Bucket): CurvePoint {
  const rate = milliseconds > 0 ? (1000 * samples) / milliseconds : 0;
  return [last, round(loss / samples), round(correct / samples), Math.round(rate)];
}

/**
 * Six significant digits are more than the chart shows and take half the bytes of the full number.
 */
function round(value: number): number {
  return Number(value.toPrecision(6));
}
