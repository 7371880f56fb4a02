import type { EvaluatedSet } from '../shared/evaluation/evaluated-set.ts';
import type { Predictions } from '../shared/evaluation/predictions.ts';
import type { GpuReading } from '../shared/gpu-reading.ts';
import type { LeaveReport, ResultReport } from './driver.ts';
import type { Outcome } from './decisions/effects.ts';

/** Reported when a run's directory is open, before any worker connects. */
export interface OpenReport {
  readonly run: string;
  readonly directory: string;
  readonly term: number;
  /** When the run was started, ISO 8601. */
  readonly started: string;
  /** The last completed step and its epoch; both are 0 for a new run. */
  readonly step: number;
  readonly epoch: number;
  /**
   * A resumed run's metrics.jsonl up to that step, piece by piece; undefined if there are no lines.
   */
  readonly past: (() => AsyncIterable<Uint8Array>) | undefined;
  /** The last lines of the run's events.jsonl. */
  readonly events: string;
}

export interface StepReport {
  readonly step: number;
  readonly epoch: number;
  readonly samples: number;
  readonly loss: number;
  readonly correct: number;
  readonly learningRate: number;
  readonly workers: number;
  /**
   * The duration of the step (from sending the first weights to the end of the update), of the
   * update alone, and of recording.
   */
  readonly milliseconds: number;
  readonly updateMilliseconds: number;
  readonly recordMilliseconds: number;
  /** Computed when called; call it before `step` returns. */
  readonly gradientNorm: () => number;
}

export interface EvaluationReport {
  readonly set: EvaluatedSet;
  readonly step: number;
  readonly epoch: number;
  readonly samples: number;
  readonly loss: number;
  readonly correct: number;
  /** The number of samples, as [true class][predicted class]. */
  readonly confusion: readonly (readonly number[])[];
  /** The predictions for the whole set; the next evaluation overwrites them. */
  readonly predictions: Predictions;
}

export interface CheckpointReport {
  readonly step: number;
  readonly bytes: number;
  readonly milliseconds: number;
}

/**
 * Shows a run while it is running. Every method is called between steps and must return
 * immediately.
 */
export interface RunViewer {
  opened(report: OpenReport): void;
  /** Called when this coordinator has completed its first step. */
  started(): void;
  step(report: StepReport): void;
  result(report: ResultReport): void;
  evaluation(report: EvaluationReport): void;
  checkpoint(report: CheckpointReport): void;
  checkpointFailed(step: number): void;
  left(report: LeaveReport): void;
  /** A worker's GPU readings, which replace all earlier ones. */
  devices(worker: string, gpus: readonly GpuReading[]): void;
  /** A line in events.jsonl. */
  event(event: string, fields: Readonly<Record<string, unknown>>): void;
  log(
    level: 'debug' | 'info' | 'warn',
    message: string,
    fields: Readonly<Record<string, unknown>>,
  ): void;
  /** Called once the run is recorded, before the workers are notified. */
  ended(outcome: Outcome): void;
}

const nothing = (): void => undefined;

/** A viewer that shows nothing. */
export const silentViewer: RunViewer = {
  opened: nothing,
  started: nothing,
  step: nothing,
  result: nothing,
  evaluation: nothing,
  checkpoint: nothing,
  checkpointFailed: nothing,
  left: nothing,
  devices: nothing,
  event: nothing,
  log: nothing,
  ended: nothing,
};

/**
 * Calls all viewers, one after the other. A viewer that throws is removed and reported to `failed`:
 * a viewer must never fail a run.
 */
export function viewers(
  all: readonly RunViewer[],
  failed: (viewer: RunViewer, error: unknown) => void,
): RunViewer {
  let shown = all;
  const tell = (say: (viewer: RunViewer) => void): void => {
    for (const viewer of shown) {
      try {
        say(viewer);
      } catch (error) {
        shown = shown.filter((other) => other !== viewer);
        failed(viewer, error);
      }
    }
  };
  return {
    opened: (report) => tell((viewer) => viewer.opened(report)),
    started: () => tell((viewer) => viewer.started()),
    step: (report) => tell((viewer) => viewer.step(report)),
    result: (report) => tell((viewer) => viewer.result(report)),
    evaluation: (report) => tell((viewer) => viewer.evaluation(report)),
    checkpoint: (report) => tell((viewer) => viewer.checkpoint(report)),
    checkpointFailed: (step) => tell((viewer) => viewer.checkpointFailed(step)),
    left: (report) => tell((viewer) => viewer.left(report)),
    devices: (worker, gpus) => tell((viewer) => viewer.devices(worker, gpus)),
    event: (event, fields) => tell((viewer) => viewer.event(event, fields)),
    log: (level, message, fields) => tell((viewer) => viewer.log(level, message, fields)),
    ended: (outcome) => tell((viewer) => viewer.ended(outcome)),
  };
}
