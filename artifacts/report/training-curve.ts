import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { MAX_DRAWN_EVALUATIONS, MAX_DRAWN_POINTS } from '../../shared/limits.ts';
import type { MetricsLine } from '../../shared/files/metrics.ts';

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

/** The data that is drawn for the training of a run, from metrics.jsonl. */
export interface TrainingCurve {
  readonly steps: number;
  /** Number of steps that one point of `training` averages. */
  readonly stepsPerPoint: number;
  /** Each point is the mean over its steps, placed at the last of them. */
  readonly training: readonly CurvePoint[];
  /** The same points, each averaged with its neighbours. */
  readonly smooth: readonly CurvePoint[];
  /** The set that was evaluated after each epoch, and its evaluations. */
  readonly set: EvaluatedSet;
  readonly evaluations: readonly EvaluationPoint[];
}

/**
 * The curve for the lines of a metrics.jsonl. Reads the lines twice, because the number of points
 * depends on the number of lines, and keeps only the points.
 */
export function trainingCurve(lines: () => Iterable<MetricsLine>): TrainingCurve {
  let steps = 0;
  const counts = { test: 0, validation: 0 };
  for (const line of lines()) {
    if (line.kind === 'step') steps += 1;
    else counts[line.set] += 1;
  }
  // A run with a validation set evaluates the test set only at its end.
  const set = counts.validation > 0 ? 'validation' : 'test';
  let left = counts[set];
  const stepsPerPoint = Math.max(1, Math.ceil(steps / MAX_DRAWN_POINTS));
  const every = Math.ceil(left / MAX_DRAWN_EVALUATIONS);
  const training: CurvePoint[] = [];
  const evaluations: EvaluationPoint[] = [];
  let mean = new Mean();
  for (const line of lines()) {
    if (line.kind === 'step') {
      mean.add(line);
      steps -= 1;
      if (mean.count < stepsPerPoint && steps > 0) continue;
      training.push(mean.point());
      mean = new Mean();
    } else if (line.set === set) {
      left -= 1;
      // Evenly spaced, and always including the last one.
      if (left % every === 0) evaluations.push({ ...pointOf(line), epoch: line.epoch });
    }
  }
  return {
    steps: training.at(-1)?.step ?? 0,
    stepsPerPoint,
    training,
    smooth: smooth(training),
    set,
    evaluations,
  };
}

/** The mean over neighbouring steps, weighted by their samples. */
class Mean {
  #step = 0;
  #samples = 0;
  #loss = 0;
  #correct = 0;
  count = 0;

  add({ step, loss, correct, samples }: MetricsLine): void {
    this.#step = step;
    this.#samples += samples;
    this.#loss += loss * samples;
    this.#correct += correct;
    this.count += 1;
  }

  /** The mean, placed at the last step. */
  point(): CurvePoint {
    return {
      step: this.#step,
      loss: this.#loss / this.#samples,
      accuracy: this.#correct / this.#samples,
    };
  }
}

function pointOf(line: MetricsLine): CurvePoint {
  const mean = new Mean();
  mean.add(line);
  return mean.point();
}

/**
 * The mean of each point and its neighbours: the same number on either side, in total about a
 * twentieth of the points. There are fewer near both ends, so that the curve does not lag.
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
