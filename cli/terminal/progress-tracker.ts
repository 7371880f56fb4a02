import type { Inspection } from '../../coordinator/inspection.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { StepRate } from '../../dashboards/feed/step-rate.ts';
import { readinessOf, type Readiness } from '../../dashboards/feed/readiness.ts';
import type { EpochState, ProgressState } from './progress-line.ts';

/** The coordinator's report after a step; steps and epochs count from 1. */
export interface StepInfo {
  readonly step: number;
  readonly totalSteps: number;
  readonly epoch: number;
  readonly epochs: number;
  /** Number of samples in this step, their mean loss, and the number of correct predictions. */
  readonly samples: number;
  readonly loss: number;
  readonly correct: number;
}

/** The coordinator's report after an evaluation. */
export interface EvaluationInfo {
  readonly set: EvaluatedSet;
  readonly epoch: number;
  readonly step: number;
  readonly samples: number;
  readonly loss: number;
  readonly correct: number;
}

const RATE_MEMORY_SECONDS = 2;

/**
 * Accumulates a run's reports. `add` is called for every step and only stores numbers; `state`
 * computes the rates when they are shown. The clock is in milliseconds.
 */
export class ProgressTracker {
  readonly #clock: () => number;
  #last: StepInfo | undefined;
  #epoch = 0;
  #lossSum = 0;
  #correct = 0;
  #samples = 0;
  #epochStart: number;
  #allSamples = 0;
  /** The time and the number of samples when the rate was last computed. */
  #mark: { time: number; samples: number } | undefined;
  #imagesPerSecond: number | undefined;
  readonly #stepRate = new StepRate();
  #inspect: (() => Inspection) | undefined;
  #joined = 0;
  #lost = 0;
  #page: string | undefined;

  constructor(clock: () => number) {
    this.#clock = clock;
    this.#epochStart = clock();
  }

  add(info: StepInfo): void {
    if (info.epoch !== this.#epoch) this.#startEpoch(info.epoch);
    // Rates are measured from the first step on, so they exclude the wait for workers and the steps
    // before a resume.
    this.#mark ??= { time: this.#clock(), samples: info.samples };
    if (this.#last === undefined) this.#stepRate.turn(info.step, this.#clock());
    this.#last = info;
    this.#lossSum += info.loss * info.samples;
    this.#correct += info.correct;
    this.#samples += info.samples;
    this.#allSamples += info.samples;
  }

  /** Counts an event of the run, by its name in events.jsonl. */
  event(event: string): void {
    if (event === 'hello') this.#joined += 1;
    else if (event === 'lost') this.#lost += 1;
  }

  /** Sets the function that returns the run's state. */
  attach(inspect: () => Inspection): void {
    this.#inspect = inspect;
  }

  /** Whether workers are ready; undefined before `attach`. */
  get readiness(): Readiness | undefined {
    return this.#inspect === undefined ? undefined : readinessOf(this.#inspect());
  }

  showPage(url: string): void {
    this.#page = url;
  }

  /** The epoch's values up to this evaluation. */
  evaluated(info: EvaluationInfo): EpochState {
    return {
      epoch: info.epoch,
      epochs: this.#last?.epochs ?? info.epoch,
      train:
        this.#samples === 0
          ? undefined
          : { loss: this.#loss(), accuracy: this.#correct / this.#samples },
      set: info.set,
      evaluation: { loss: info.loss, accuracy: info.correct / Math.max(1, info.samples) },
      seconds: (this.#clock() - this.#epochStart) / 1000,
    };
  }

  /** The values to show now; undefined before the first step. */
  state(): ProgressState | undefined {
    const last = this.#last;
    if (last === undefined) return undefined;
    const { readiness } = this;
    const now = this.#clock();
    this.#takeRate(now);
    this.#stepRate.turn(last.step, now, readiness?.isWaiting);
    return {
      epoch: last.epoch,
      epochs: last.epochs,
      step: last.step,
      totalSteps: last.totalSteps,
      loss: this.#loss(),
      accuracy: this.#correct / this.#samples,
      imagesPerSecond: this.#imagesPerSecond,
      readiness,
      joined: this.#joined,
      lost: this.#lost,
      page: this.#page,
      secondsLeft: this.#stepRate.secondsFor(last.totalSteps - last.step, now),
    };
  }

  #loss(): number {
    return this.#lossSum / this.#samples;
  }

  #startEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#lossSum = 0;
    this.#correct = 0;
    this.#samples = 0;
    this.#epochStart = this.#clock();
  }

  // An exponential moving average over about two seconds: steady, yet quick to adjust after a
  // worker joins.
  #takeRate(time: number): void {
    const mark = this.#mark;
    if (mark === undefined || time <= mark.time) return;
    const seconds = (time - mark.time) / 1000;
    const share = 1 - Math.exp(-seconds / RATE_MEMORY_SECONDS);
    const now = (this.#allSamples - mark.samples) / seconds;
    const before = this.#imagesPerSecond ?? now;
    this.#imagesPerSecond = before + share * (now - before);
    this.#mark = { time, samples: this.#allSamples };
  }
}
