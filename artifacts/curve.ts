import { MAX_DRAWN_EVALUATIONS, MAX_DRAWN_POINTS } from '../shared/limits.ts';
import type { EvaluationLine, MetricsLine, StepLine } from '../shared/metrics.ts';

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

export function trainingCurve(lines: readonly MetricsLine[]): TrainingCurve {
  const steps = lines.filter((line): line is StepLine => line.kind === 'step');
  const evaluations = lines.filter((line): line is EvaluationLine => line.kind === 'evaluation');
  const stepsPerPoint = Math.max(1, Math.ceil(steps.length / MAX_DRAWN_POINTS));
  const training = thin(steps, stepsPerPoint);
  return {
    steps: steps.at(-1)?.step ?? 0,
    ...{ stepsPerPoint, training, smooth: smooth(training) },
    validation: evenly(evaluations, MAX_DRAWN_EVALUATIONS).map((line) => ({
      ...pointOf([line]),
      epoch: line.epoch,
    })),
  };
}

/** Means over `stepsPerPoint` neighbours, by samples: no sample is left out. */
function thin(steps: readonly StepLine[], stepsPerPoint: number): CurvePoint[] {
  return Array.from({ length: Math.ceil(steps.length / stepsPerPoint) }, (_, index) =>
    pointOf(steps.slice(index * stepsPerPoint, (index + 1) * stepsPerPoint)),
  );
}

function pointOf(lines: readonly MetricsLine[]): CurvePoint {
  const sum = (of: (line: MetricsLine) => number) => lines.reduce((total, line) => total + of(line), 0);
  const samples = sum((line) => line.samples);
  return {
    step: lines.at(-1)?.step ?? 0,
    loss: sum(({ loss, samples: weight }) => loss * weight) / samples,
    accuracy: sum(({ correct }) => correct) / samples,
  };
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
