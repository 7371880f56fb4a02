import { metricNames, type Scalar } from './tracker.ts';

export interface WindowStep {
  readonly step: number;
  readonly samples: number;
  readonly loss: number;
  readonly correct: number;
}

/**
 * Thins the steps of a run: the mean of each window of steps, weighted by their samples. Windows
 * end at the same steps in a run that is resumed.
 */
export class MetricWindows {
  /** The number of steps in a window. */
  readonly length: number;
  readonly #totalSteps: number;
  #samples = 0;
  #loss = 0;
  #correct = 0;

  constructor(totalSteps: number, points: number) {
    this.#totalSteps = totalSteps;
    this.length = Math.max(1, Math.ceil(totalSteps / points));
  }

  /** The means, if the step is the last one of its window. */
  add({ step, samples, loss, correct }: WindowStep): Scalar[] | undefined {
    this.#samples += samples;
    this.#loss += loss * samples;
    this.#correct += correct;
    if (step % this.length !== 0 && step !== this.#totalSteps) return undefined;
    const means: Scalar[] = [
      [metricNames.loss.train, this.#loss / this.#samples],
      [metricNames.accuracy.train, this.#correct / this.#samples],
    ];
    this.#samples = 0;
    this.#loss = 0;
    this.#correct = 0;
    return means;
  }
}
