import type { WorkerStateName } from '../metrics/catalogue.ts';

/**
 * What the live page reads: types only, shared by the listener and the browser.
 *
 *   GET /api/run      RunView: everything known so far, bounded however long the run is
 *   GET /api/stream   server-sent events; each `data:` is one Update, at most ten a second
 *   GET /api/weights  the current weights, float32 little-endian, layer by layer: kernel [inputs, units] row-major, bias
 *                     [units]; the header X-Step says after which step. 404 where there are none yet.
 */
export interface RunView {
  readonly run: string;
  /** Rises with every start of the coordinator. */
  readonly term: number;
  readonly version: string;
  /** ISO 8601. */
  readonly started: string;
  /**
   * Whether the run is going on and /api/stream will say more; false for a run that is shown from
   * its directory.
   */
  readonly isLive: boolean;
  /** As people read it: option name and value, in the order of the help. */
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
  /** Of the pictures: rows * columns = model.inputs. */
  readonly rows: number;
  readonly columns: number;
  readonly status: Status;
  /** Thinned; at most a few thousand, in order. */
  readonly curve: readonly CurvePoint[];
  /** In order; of a very long run every n-th. */
  readonly evaluations: readonly EvaluationPoint[];
  /** Of the newest evaluation. */
  readonly evaluated: Evaluated | undefined;
  /** The last 200, oldest first. */
  readonly events: readonly EventLine[];
  /** State changes of workers, oldest first; the last 1,000. */
  readonly changes: readonly StateChange[];
}

/** What is new since the update before; absent fields did not change. */
export interface Update {
  readonly status?: Status;
  readonly curve?: readonly CurvePoint[];
  readonly evaluation?: EvaluationPoint;
  readonly evaluated?: Evaluated;
  readonly events?: readonly EventLine[];
  readonly changes?: readonly StateChange[];
  /**
   * The view has more than was sent before, and is to be fetched again: what an earlier coordinator
   * left was read.
   */
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
  /** Why it ended; empty while it goes on. */
  readonly message: string;
  readonly step: number;
  readonly epoch: number;
  /** What is wrong while it goes on, such as a full disk; empty where nothing is. */
  readonly problem: string;
  /** When this was so, in Unix milliseconds of the coordinator's clock. */
  readonly at: number;
  /** Seconds that coordinators were at work on it, and those to go, as far as can be told. */
  readonly seconds: number;
  readonly secondsLeft: number | undefined;
  readonly workers: readonly WorkerStatus[];
  /**
   * For whom it waits, such as "waiting for workers: 1 of 2 ready"; empty where enough are there.
   */
  readonly waiting: string;
  readonly joined: number;
  readonly lost: number;
  /**
   * Of the coordinator that is at work; undefined for a run that is over, whose files do not say.
   */
  readonly stragglerSteps: number | undefined;
  readonly reassigned: number | undefined;
  readonly checkpointStep: number | undefined;
}

export interface WorkerStatus {
  /** Chosen by the worker: text, never markup. */
  readonly name: string;
  /** `done`: the run is over, and this worker was there when it ended. */
  readonly state: WorkerStateName | 'done';
  /** Such as "tensorflow, cpu"; empty before it is ready. */
  readonly engine: string;
  /** Training samples of all that counted. */
  readonly samples: number;
  /**
   * Of the last second's step time: computing, and everything between weights and result; 0 to 1.
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
  /** In the test set. */
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
  /** May hold names that workers chose: text, never markup. */
  readonly message: string;
}

export interface StateChange {
  /** Unix time in milliseconds. */
  readonly at: number;
  readonly worker: string;
  readonly state: WorkerStateName;
}
