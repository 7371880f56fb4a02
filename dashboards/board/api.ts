import type { EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import type { RunStatus } from '../../shared/files/run-schema.ts';
import type { EvaluationPoint } from '../feed/api.ts';

/**
 * The board's HTTP interface: types only, shared by the server and the browser. NAME is the name of
 * a run's folder, encoded as in encodeURIComponent.
 *
 *   GET /api/runs                        BoardView
 *   GET /api/runs/NAME/curve             BoardCurve
 *   GET /api/runs/NAME/evaluation        BoardEvaluation; 404 if there is none
 *   GET /api/runs/NAME/mistakes/OTHER    MistakePairs
 *   GET /runs/NAME/                      the run's own page, with the paths of feed/api.ts below it
 *   GET /runs/NAME/api/files             its files, and /runs/NAME/files/PATH one of them
 */
export interface BoardView {
  readonly folder: string;
  /** When the folder was read, in Unix milliseconds. */
  readonly at: number;
  /** Newest first. */
  readonly runs: readonly BoardRun[];
  /** The settings that differ between the recipes of the runs. */
  readonly settings: readonly string[];
  /** Subfolders that cannot be shown as runs. */
  readonly unlisted: readonly { readonly name: string; readonly reason: string }[];
  /** Number of runs that have not been read yet; the next view has more of them. */
  readonly pending: number;
  /** Number of subfolders beyond the limit. */
  readonly omitted: number;
}

/** All texts come from files that may be hostile, so they are always text, never markup. */
export interface BoardRun {
  readonly name: string;
  readonly state: RunStatus;
  /** ISO 8601. */
  readonly started: string;
  readonly step: number;
  readonly steps: number;
  readonly stepsPerEpoch: number;
  readonly model: string;
  readonly dataset: string;
  /** The last evaluation: its set, the accuracy (a ratio) and the mean loss. */
  readonly evaluation:
    { readonly set: EvaluatedSet; readonly accuracy: number; readonly loss: number } | undefined;
  readonly seconds: number;
  /** The mean since the start if the run has not finished. */
  readonly stepsPerSecond: number | undefined;
  readonly workers: number;
  readonly engine: string;
  /** In the order of BoardView.settings; null for a run that does not have the setting. */
  readonly settings: readonly (string | null)[];
  /** Changes when the run's curve does. */
  readonly curve: string;
  readonly hasReport: boolean;
}

/** Arrays of equal length, in step order. Each point covers the steps since the previous point. */
export interface BoardCurve {
  /** The last step of each point. */
  readonly step: readonly number[];
  readonly loss: Band;
  readonly accuracy: Band;
  readonly samplesPerSecond: Band;
  /** On the set that is evaluated after each epoch, in step order. */
  readonly evaluations: readonly EvaluationPoint[];
  /** Whether a later request returns more of the curve. */
  readonly isPartial: boolean;
  /** Why the curve ends early; empty if it does not. */
  readonly problem: string;
}

/** The mean over the steps of each point, and the lowest and highest of their values. */
export interface Band {
  readonly mean: readonly number[];
  readonly low: readonly number[];
  readonly high: readonly number[];
}

export interface BoardEvaluation {
  readonly set: EvaluatedSet;
  readonly step: number;
  /** Rows are the true classes. */
  readonly confusion: readonly (readonly number[])[];
  readonly classNames: readonly string[];
  /** SHA-256 of the dataset. */
  readonly dataset: string;
}

/** The mistakes of two runs on the same test set. */
export interface MistakePairs {
  /** Why there are none; empty if they can be compared. */
  readonly problem: string;
  /** Why they have no pictures; empty if they have. */
  readonly noPictures: string;
  readonly classNames: readonly string[];
  readonly rows: number;
  readonly columns: number;
  /** Images that both runs, only the first, and only the second get wrong. */
  readonly groups: readonly [PairGroup, PairGroup, PairGroup];
}

export interface PairGroup {
  readonly count: number;
  /** The most confident mistakes. */
  readonly shown: readonly MistakePair[];
}

export interface MistakePair {
  /** Index in the test set. */
  readonly index: number;
  readonly true: number;
  /** What each run predicted; null for a run that was right. */
  readonly predicted: readonly [Prediction | null, Prediction | null];
  /** rows * columns bytes in base64; 0 is the background. Empty without a picture. */
  readonly pixels: string;
}

export interface Prediction {
  readonly class: number;
  /** Its probability. */
  readonly confidence: number;
}
