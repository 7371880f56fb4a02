import type { Band, BoardCurve } from '../../board/api.ts';
import { Curve, type CurveColumns } from '../curve-columns.ts';
import { firstFrom } from '../plot/first-from.ts';

/** The smooth curve averages over this fraction of an epoch. */
const MEMORY_EPOCHS = 1 / 20;

export type Quantity = 'loss' | 'accuracy' | 'samplesPerSecond';

/** The curve of a run, as columns. */
export class RunCurve {
  readonly columns: CurveColumns;
  readonly evaluations: BoardCurve['evaluations'];
  readonly problem: string;
  readonly #bands: Readonly<Record<Quantity, Extremes>>;

  constructor(curve: BoardCurve, stepsPerEpoch: number) {
    const { step, loss, accuracy, samplesPerSecond } = curve;
    const smooth = new Curve(Math.max(1, Math.round(stepsPerEpoch * MEMORY_EPOCHS)));
    smooth.append(
      step.map((at, i) => [
        at,
        loss.mean[i] ?? NaN,
        accuracy.mean[i] ?? NaN,
        samplesPerSecond.mean[i] ?? NaN,
      ]),
    );
    this.columns = smooth.columns();
    this.evaluations = curve.evaluations;
    this.problem = curve.problem;
    this.#bands = {
      loss: extremes(loss),
      accuracy: extremes(accuracy),
      samplesPerSecond: extremes(samplesPerSecond),
    };
  }

  get lastStep(): number {
    return this.columns.step.at(-1) ?? 0;
  }

  /** The lowest and the highest value of the steps in each point. */
  band(quantity: Quantity): Extremes {
    return this.#bands[quantity];
  }

  smooth(quantity: Quantity): Float64Array {
    switch (quantity) {
      case 'loss':
        return this.columns.smoothLoss;
      case 'accuracy':
        return this.columns.smoothAccuracy;
      case 'samplesPerSecond':
        return this.columns.smoothSpeed;
    }
  }

  /** The index of the point that contains a step; the last point if `step` is undefined. */
  indexAt(step: number | undefined): number {
    const { step: steps } = this.columns;
    return step === undefined ? steps.length - 1 : firstFrom(steps, step);
  }

  /** The newest evaluation at or before a step: [step, loss, accuracy]. */
  evaluationAt(step: number | undefined) {
    return step === undefined
      ? this.evaluations.at(-1)
      : this.evaluations.findLast(([evaluated]) => evaluated <= step);
  }
}

export interface Extremes {
  readonly low: Float64Array;
  readonly high: Float64Array;
}

function extremes({ low, high }: Band): Extremes {
  return { low: Float64Array.from(low), high: Float64Array.from(high) };
}
