import { MAX_DRAWN_EVALUATIONS, MAX_DRAWN_POINTS } from '../shared/limits.ts';
import type { MetricsLine } from '../shared/metrics.ts';

/** Loss and accuracy after a step. */
export interface CurvePoint {
  readonly step: number;
  /** Mean over the samples. */
  readonly loss: number;
  readonly accuracy: number;
}

export interface EvaluationPoint extends CurvePoint {
  readonly epoch: number;
}

/** What is drawn of a run's training, all of it from metrics.jsonl. */
export interface TrainingCurve {
  readonly steps: number;
  /** So many steps are one point of `training`. */
  readonly stepsPerPoint: number;
  /** Each the mean over its steps, at the last of them. */
  readonly training: readonly CurvePoint[];
  /** The same points, each the mean of its neighbourhood. */
  readonly smooth: readonly CurvePoint[];
  readonly validation: readonly EvaluationPoint[];
}

/** Of the lines of a metrics.jsonl, of which only the numbers that are drawn are kept. */
export function trainingCurve(lines: Iterable<MetricsLine>): TrainingCurve {
  const steps = new Column();
  const evaluations = new Column();
  const epochs: number[] = [];
  for (const line of lines) {
    if (line.kind === 'step') steps.add(line);
    else {
      evaluations.add(line);
      epochs.push(line.epoch);
    }
  }
  const stepsPerPoint = Math.max(1, Math.ceil(steps.length / MAX_DRAWN_POINTS));
  const training = thin(steps, stepsPerPoint);
  return {
    steps: training.at(-1)?.step ?? 0,
    ...{ stepsPerPoint, training, smooth: smooth(training) },
    validation: evenly(
      epochs.map((epoch, at) => ({ ...evaluations.mean(at, at + 1), epoch })),
      MAX_DRAWN_EVALUATIONS,
    ),
  };
}

/** The numbers of lines of one kind: a long run has millions of them. */
class Column {
  readonly #steps: number[] = [];
  readonly #losses: number[] = [];
  readonly #correct: number[] = [];
  readonly #samples: number[] = [];

  get length(): number {
    return this.#steps.length;
  }

  add({ step, loss, correct, samples }: MetricsLine): void {
    this.#steps.push(step);
    this.#losses.push(loss);
    this.#correct.push(correct);
    this.#samples.push(samples);
  }

  /** Over the lines from `from` to before `to`, by samples, at the last of them. */
  mean(from: number, to: number): CurvePoint {
    let [samples, loss, correct] = [0, 0, 0];
    for (let at = from; at < Math.min(to, this.length); at++) {
      const weight = this.#samples[at] ?? 0;
      samples += weight;
      loss += (this.#losses[at] ?? 0) * weight;
      correct += this.#correct[at] ?? 0;
    }
    return {
      step: this.#steps[Math.min(to, this.length) - 1] ?? 0,
      loss: loss / samples,
      accuracy: correct / samples,
    };
  }
}

/** Means over `stepsPerPoint` neighbours: no sample is left out. */
function thin(steps: Column, stepsPerPoint: number): CurvePoint[] {
  return Array.from({ length: Math.ceil(steps.length / stepsPerPoint) }, (_, index) =>
    steps.mean(index * stepsPerPoint, (index + 1) * stepsPerPoint),
  );
}

/**
 * The mean of each point and as many on either side, about a twentieth of all; towards both ends fewer, so that it lags
 * nowhere behind.
 */
function smooth(points: readonly CurvePoint[]): CurvePoint[] {
  const most = Math.floor(points.length / 40);
  return points.map(({ step }, index) => {
    const reach = Math.min(most, index, points.length - 1 - index);
    const near = points.slice(index - reach, index + reach + 1);
    const mean = (of: (point: CurvePoint) => number) =>
      near.reduce((sum, point) => sum + of(point), 0) / near.length;
    return { step, loss: mean(({ loss }) => loss), accuracy: mean(({ accuracy }) => accuracy) };
  });
}

/** At most `limit` of them, evenly taken, the last one always. */
function evenly<T>(values: readonly T[], limit: number): T[] {
  const every = Math.ceil(values.length / limit);
  return values.filter((_, index) => (values.length - 1 - index) % every === 0);
}
