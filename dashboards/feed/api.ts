import type { WorkerStateName } from '../metrics/catalogue.ts';

/**
 * The HTTP interface of the live page: types only, shared by the listener and the browser.
 *
 *   GET /api/run      RunView: everything known so far, bounded however long the run is
 *   GET /api/stream   server-sent events; each `data:` is one Update, at most ten a second
 *   GET /api/weights  the current weights, float32 little-endian, layer by layer: kernel
 *                     [inputs, units] row-major, bias [units]; the header X-Step says after which
 *                     step. 404 where there are none yet.
 */
export interface RunView {
  readonly run: string;
  /** Increases with every start of the coordinator. */
  readonly term: number;
  readonly version: string;
  /** ISO 8601. */
  readonly started: string;
  /** Whether /api/stream sends updates; false for a run that is shown from its directory. */
  readonly isLive: boolean;
  /** Option name and value as shown, in the order of the help. */
  readonly configuration: readonly (readonly [name: string, value: string])[];
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly classNames: readonly string[];
  readonly model: {
    readonly inputs: number;
    readonly hidden: readonly number[];
    readonly classes: number;
  };
  /** Size of the pictures: rows * columns = model.inputs. */
  readonly rows: number;
  readonly columns: number;
  readonly status: Status;
  /** Downsampled to at most a few thousand points, in order. */
  readonly curve: readonly CurvePoint[];
  /** In order; every n-th evaluation of a very long run. */
  readonly evaluations: readonly EvaluationPoint[];
  /** The newest evaluation. */
  readonly evaluated: Evaluated | undefined;
  /** The last 200, oldest first. */
  readonly events: readonly EventLine[];
  /** State changes of workers, oldest first; the last 1,000. */
  readonly changes: readonly StateChange[];
}

/** The changes since the previous update; absent fields did not change. */
export interface Update {
  readonly status?: Status;
  readonly curve?: readonly CurvePoint[];
  readonly evaluation?: EvaluationPoint;
  readonly evaluated?: Evaluated;
  readonly events?: readonly EventLine[];
  readonly changes?: readonly StateChange[];
  /** The page must fetch the view again: the history of an earlier coordinator was added to it. */
  readonly isRestated?: true;
}

/**
 * One or many steps: means over all their samples. [step of the last one, loss, accuracy ratio,
 * samples per second]
 */
export type CurvePoint = readonly [
  step: number,
  loss: number,
  accuracy: number,
  samplesPerSecond: number,
];

/** [step, loss, accuracy ratio] over the test set. */
export type EvaluationPoint = readonly [step: number, loss: number, accuracy: number];

export interface Status {
  readonly state: 'gathering' | 'running' | 'finished' | 'interrupted' | 'failed' | 'diverged';
  /** Why it ended; empty while it is running. */
  readonly message: string;
  readonly step: number;
  readonly epoch: number;
  /** A problem of a running run, such as a full disk; empty where there is none. */
  readonly problem: string;
  /** The time of this status, in Unix milliseconds of the coordinator's clock. */
  readonly at: number;
  /** Seconds that coordinators ran it, and the estimated seconds left. */
  readonly seconds: number;
  readonly secondsLeft: number | undefined;
  readonly workers: readonly WorkerStatus[];
  /** Such as "waiting for workers: 1 of 2 ready"; empty when enough workers are ready. */
  readonly waiting: string;
  readonly joined: number;
  readonly lost: number;
  /** Counts of the current coordinator; undefined for a recorded run, whose files have none. */
  readonly stragglerSteps: number | undefined;
  readonly reassigned: number | undefined;
  readonly checkpointStep: number | undefined;
}

export interface WorkerStatus {
  /** Chosen by the worker: text, never markup. */
  readonly name: string;
  /** `done`: the worker was connected when the run ended. */
  readonly state: WorkerStateName | 'done';
  /** Such as "tensorflow, cpu"; empty before it is ready. */
  readonly engine: string;
  /** Training samples whose gradients counted. */
  readonly samples: number;
  /**
   * Shares of the step time in the last second, 0 to 1: computing; the rest of weights to result.
   */
  readonly computing: number;
  readonly exchanging: number;
  readonly roundTripMilliseconds: number | undefined;
}

export interface Evaluated {
  readonly step: number;
  /** Rows are the true classes. */
  readonly confusion: readonly (readonly number[])[];
  /** The most confident mistakes, at most 48. */
  readonly mistakes: readonly Mistake[];
}

export interface Mistake {
  /** Index in the test set. */
  readonly index: number;
  readonly true: number;
  readonly predicted: number;
  /** Probability of the predicted class. */
  readonly confidence: number;
  /** rows * columns bytes, base64; 0 is the background. */
  readonly pixels: string;
}

export interface EventLine {
  /** ISO 8601. */
  readonly time: string;
  readonly event: string;
  readonly level: 'debug' | 'info' | 'warn';
  /** May contain names that workers chose: text, never markup. */
  readonly message: string;
}

export interface StateChange {
  /** Unix time in milliseconds. */
  readonly at: number;
  readonly worker: string;
  readonly state: WorkerStateName;
}
