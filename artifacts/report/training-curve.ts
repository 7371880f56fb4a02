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

/**
 * Of the lines of a metrics.jsonl, which are read twice: how many points there are follows from how
 * many lines there are, and nothing else of them is kept.
 */
export function trainingCurve(lines: () => Iterable<MetricsLine>): TrainingCurve {
  let steps = 0;
  let evaluations = 0;
  for (const { kind } of lines()) {
    if (kind === 'step') steps += 1;
    else evaluations += 1;
  }
  const stepsPerPoint = Math.max(1, Math.ceil(steps / MAX_DRAWN_POINTS));
  const every = Math.ceil(evaluations / MAX_DRAWN_EVALUATIONS);
  const training: CurvePoint[] = [];
  const validation: EvaluationPoint[] = [];
  let mean = new Mean();
  for (const line of lines()) {
    if (line.kind === 'step') {
      mean.add(line);
      steps -= 1;
      if (mean.count < stepsPerPoint && steps > 0) continue;
      training.push(mean.point());
      mean = new Mean();
    } else {
      evaluations -= 1;
      // Evenly taken, the last one always.
      if (evaluations % every === 0) validation.push({ ...pointOf(line), epoch: line.epoch });
    }
  }
  return {
    steps: training.at(-1)?.step ?? 0,
    stepsPerPoint,
    training,
    smooth: smooth(training),
    validation,
  };
}

/** Over neighbouring steps, by samples: no sample is left out. */
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

  /** At the last of them. */
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
 * The mean of each point and as many on either side, about a twentieth of all; towards both ends
 * fewer, so that it lags nowhere behind.
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
