import { assert } from '../../shared/errors.ts';
import type { Band, BoardCurve } from './api.ts';
import type { CurveStep } from '../feed/curve-history.ts';

/**
 * Adjacent steps: sums for the means, and the extremes, which keep spikes visible. The fields are
 * not grouped into objects, because reading many files then takes a third of the time.
 */
interface Bucket {
  last: number;
  steps: number;
  samples: number;
  loss: number;
  correct: number;
  milliseconds: number;
  lossLow: number;
  lossHigh: number;
  accuracyLow: number;
  accuracyHigh: number;
  speedLow: number;
  speedHigh: number;
}

/**
 * A curve of any length in a bounded number of points. When there are too many, they are merged in
 * pairs, and every later point covers twice as many steps.
 */
export class ThinnedCurve {
  readonly #maxPoints: number;
  #buckets: Bucket[] = [];
  #stepsPerPoint = 1;

  /** `maxPoints` must be even. */
  constructor(maxPoints: number) {
    assert(maxPoints > 0 && maxPoints % 2 === 0, `${maxPoints} is even`);
    this.#maxPoints = maxPoints;
  }

  /** Ignores a step that is not newer than the last one. */
  add({ step, samples, loss, correct, milliseconds }: CurveStep): void {
    const last = this.#buckets.at(-1);
    if (step <= (last?.last ?? 0)) return;
    const accuracy = correct / samples;
    const speed = speedOf(samples, milliseconds);
    const added: Bucket = {
      last: step,
      steps: 1,
      samples,
      loss: loss * samples,
      correct,
      milliseconds,
      lossLow: loss,
      lossHigh: loss,
      accuracyLow: accuracy,
      accuracyHigh: accuracy,
      speedLow: speed,
      speedHigh: speed,
    };
    if (last !== undefined && last.steps < this.#stepsPerPoint) return merge(last, added);
    if (this.#buckets.length >= this.#maxPoints) this.#halve();
    this.#buckets.push(added);
  }

  points(): Pick<BoardCurve, 'step' | 'loss' | 'accuracy' | 'samplesPerSecond'> {
    return {
      step: this.#buckets.map(({ last }) => last),
      loss: this.#band(
        ({ loss, samples }) => loss / samples,
        ({ lossLow }) => lossLow,
        ({ lossHigh }) => lossHigh,
      ),
      accuracy: this.#band(
        ({ correct, samples }) => correct / samples,
        ({ accuracyLow }) => accuracyLow,
        ({ accuracyHigh }) => accuracyHigh,
      ),
      samplesPerSecond: this.#band(
        ({ samples, milliseconds }) => speedOf(samples, milliseconds),
        ({ speedLow }) => speedLow,
        ({ speedHigh }) => speedHigh,
      ),
    };
  }

  #band(
    mean: (bucket: Bucket) => number,
    low: (bucket: Bucket) => number,
    high: (bucket: Bucket) => number,
  ): Band {
    const column = (value: (bucket: Bucket) => number) =>
      this.#buckets.map((bucket) => round(value(bucket)));
    return { mean: column(mean), low: column(low), high: column(high) };
  }

  #halve(): void {
    const halved: Bucket[] = [];
    for (let i = 0; i < this.#buckets.length; i += 2) {
      const [left, right] = [this.#buckets[i], this.#buckets[i + 1]];
      if (left === undefined) continue;
      if (right !== undefined) merge(left, right);
      halved.push(left);
    }
    this.#buckets = halved;
    this.#stepsPerPoint *= 2;
  }
}

function speedOf(samples: number, milliseconds: number): number {
  return milliseconds > 0 ? (1000 * samples) / milliseconds : 0;
}

/** Adds the later bucket to the earlier one. */
function merge(left: Bucket, right: Bucket): void {
  left.last = right.last;
  left.steps += right.steps;
  left.samples += right.samples;
  left.loss += right.loss;
  left.correct += right.correct;
  left.milliseconds += right.milliseconds;
  left.lossLow = Math.min(left.lossLow, right.lossLow);
  left.lossHigh = Math.max(left.lossHigh, right.lossHigh);
  left.accuracyLow = Math.min(left.accuracyLow, right.accuracyLow);
  left.accuracyHigh = Math.max(left.accuracyHigh, right.accuracyHigh);
  left.speedLow = Math.min(left.speedLow, right.speedLow);
  left.speedHigh = Math.max(left.speedHigh, right.speedHigh);
}

/** Five significant digits are more than the chart shows. */
function round(value: number): number {
  return Number(value.toPrecision(5));
}
