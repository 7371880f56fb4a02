import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import type { WorkerStateName } from '../metrics/catalogue.ts';

/**
 * The live page's HTTP interface: types only, shared by the listener and the browser.
 *
 *   GET /api/run      RunView: everything known so far, in bounded size however long the run is
 *   GET /api/stream   server-sent events; each `data:` is one Update, at most five per second
 *   GET /api/files    RunFile[]: the files of the run that exist
 *   GET /files/PATH   one of them
 *   GET /api/weights  the current weights, float32 little-endian, layer by layer: kernel
 *                     [inputs, units] or [height, width, in, filters] row-major, then bias; the
 *                     header X-Step contains the step that produced them. 404 if there are none.
 */
export interface RunView {
  readonly run: string;
  /** Incremented each time a coordinator starts. */
  readonly term: number;
  readonly version: string;
  /** ISO 8601. */
  readonly started: string;
  /** Whether /api/stream sends updates; false for a run shown from its directory. */
  readonly isLive: boolean;
  /** Each option's name and displayed value, in the order of the help text. */
  readonly configuration: readonly (readonly [name: string, value: string])[];
  /** The command that started the run; undefined for a run of a version that did not record it. */
  readonly command?: string | undefined;
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly classNames: readonly string[];
  readonly model: ModelShape;
  /** Picture size. */
  readonly rows: number;
  readonly columns: number;
  readonly status: Status;
  /** The learning rate of all steps, at no more than a few hundred of them, in step order. */
  readonly rates: readonly StepValue[];
  /** The norm of the gradient at some of this coordinator's steps; it is not recorded. */
  readonly gradientNorms: readonly StepValue[];
  /** In step order, downsampled to at most a few thousand points. */
  readonly curve: readonly CurvePoint[];
  /** The set that is evaluated after each epoch. */
  readonly evaluatedSet: EvaluatedSet;
  /** The evaluations of that set, in step order; a very long run keeps only every n-th. */
  readonly evaluations: readonly EvaluationPoint[];
  /** The evaluation on the test set at the end of a run with a validation set. */
  readonly tested?: EvaluationPoint | undefined;
  /** The newest evaluation. */
  readonly evaluated: Evaluated | undefined;
  /** The last 200 events, oldest first. */
  readonly events: readonly EventLine[];
  /** The last 1,000 changes of worker state, oldest first. */
  readonly changes: readonly StateChange[];
}

/** The changes since the previous update; absent fields did not change. */
export interface Update {
  readonly status?: Status;
  readonly curve?: readonly CurvePoint[];
  readonly gradientNorms?: readonly StepValue[];
  readonly evaluation?: EvaluationPoint;
  readonly tested?: EvaluationPoint;
  readonly evaluated?: Evaluated;
  readonly events?: readonly EventLine[];
  readonly changes?: readonly StateChange[];
  /** The page must fetch the view again: the history of an earlier coordinator was added to it. */
  readonly isRestated?: true;
}

/**
 * One or more consecutive steps: the number of the last one, then the mean loss, the accuracy (a
 * ratio) and the speed over all their samples.
 */
export type CurvePoint = readonly [
  step: number,
  loss: number,
  accuracy: number,
  samplesPerSecond: number,
];

export type StepValue = readonly [step: number, value: number];

/** A file that the page links to. */
export interface RunFile {
  /** Within the run directory. */
  readonly path: string;
  readonly bytes: number;
}

/** One evaluation; the accuracy is a ratio. */
export type EvaluationPoint = readonly [step: number, loss: number, accuracy: number];

export interface Status {
  readonly state: 'gathering' | 'running' | 'finished' | 'interrupted' | 'failed' | 'diverged';
  /** Why the run ended; empty while it is running. */
  readonly message: string;
  readonly step: number;
  readonly epoch: number;
  /** The learning rate of the last step; undefined if all steps have the same. */
  readonly learningRate?: number | undefined;
  /** A current problem, such as a full disk; empty if there is none. */
  readonly problem: string;
  /** When this status was taken, in Unix milliseconds on the coordinator's clock. */
  readonly at: number;
  /** The seconds that coordinators have spent on the run, and an estimate of the seconds left. */
  readonly seconds: number;
  readonly secondsLeft: number | undefined;
  readonly workers: readonly WorkerStatus[];
  /** Text such as "waiting for workers: 1 of 2 ready"; empty when enough workers are ready. */
  readonly waiting: string;
  readonly joined: number;
  readonly lost: number;
  /**
   * The current coordinator's counts; undefined for a recorded run, because its files lack them.
   */
  readonly stragglerSteps: number | undefined;
  readonly reassigned: number | undefined;
  readonly checkpointStep: number | undefined;
}

export interface WorkerStatus {
  /** Chosen by the worker, so always treated as text, never as markup. */
  readonly name: string;
  /** `done`: the worker was connected when the run ended. */
  readonly state: WorkerStateName | 'done';
  /** Text such as "tensorflow, cpu"; empty before the worker is ready. */
  readonly engine: string;
  /** Number of this worker's training samples whose gradients the run used. */
  readonly samples: number;
  /**
   * Shares of the step time, from 0 to 1, averaged over about the last second. `exchanging` is the
   * time from sending the weights to receiving the result, excluding the computation.
   */
  readonly computing: number;
  readonly exchanging: number;
  readonly roundTripMilliseconds: number | undefined;
}

export interface Evaluated {
  readonly set: EvaluatedSet;
  readonly step: number;
  /** Rows are the true classes. */
  readonly confusion: readonly (readonly number[])[];
  /** The most confident mistakes, at most 48. */
  readonly mistakes: readonly Mistake[];
}

export interface Mistake {
  /** Index in the evaluated set. */
  readonly index: number;
  readonly true: number;
  readonly predicted: number;
  /** Probability of the predicted class. */
  readonly confidence: number;
  /** rows * columns bytes in base64; 0 is the background. */
  readonly pixels: string;
}

export interface EventLine {
  /** ISO 8601. */
  readonly time: string;
  readonly event: string;
  readonly level: 'debug' | 'info' | 'warn';
  /** May contain names that workers chose, so always treated as text, never as markup. */
  readonly message: string;
}

export interface StateChange {
  /** Unix time in milliseconds. */
  readonly at: number;
  readonly worker: string;
  readonly state: WorkerStateName;
}
