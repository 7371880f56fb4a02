import type { Clock } from '../shared/clock.ts';
import type { Configuration } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset/dataset.ts';
import type { ClusterError } from '../shared/errors.ts';
import type { Misclassified } from '../shared/evaluation/misclassified.ts';
import type { Checkpoint } from '../shared/files/checkpoint-file.ts';
import type { RunRecord } from '../shared/files/run-schema.ts';
import type { Resumed } from './decisions/state.ts';
import type { Predictions } from './predictions.ts';
import type { RecordedLines } from './run-directory/read-run.ts';
import type { RunFiles } from './run-directory/run-files.ts';
import type { RunViewer } from './viewer.ts';

export interface RecorderOptions {
  readonly files: RunFiles;
  readonly viewer: RunViewer;
  readonly configuration: Configuration;
  readonly dataset: Dataset;
  readonly predictions: Predictions;
  readonly term: number;
  readonly version: string;
  readonly launch: RunRecord['launch'];
  /** The monotonic clock, in milliseconds. */
  readonly clock: () => number;
  /** The time of day, which may jump. */
  readonly date: () => Date;
  /** Copies of the current weights and the optimizer's state. */
  readonly snapshot: () => Pick<Checkpoint, 'weights' | 'state'>;
  /** Draws a finished run's artifacts. Without it, only the list of mistakes is written. */
  readonly draw?: Draw | undefined;
  /** Calls back after some milliseconds; returns a function that cancels it. */
  readonly after: Clock['after'];
  /** Called when another coordinator has taken over the run. */
  readonly onTakenOver: (error: ClusterError) => void;
  /** Where the record of a resumed run continues; undefined for a new run. */
  readonly record: ResumedRecord | undefined;
  /** Where the reducers resume; undefined at the beginning of the run. */
  readonly resumed: Resumed | undefined;
}

/** A finished run whose model and lines have been written. */
export interface FinishedRun {
  readonly directory: string;
  readonly record: RunRecord;
  /** In sample order. */
  readonly wrong: readonly Misclassified[];
}

/** Creates the files for artifacts/, in the order in which to write them. */
export type Draw = (
  run: FinishedRun,
) => Promise<readonly { readonly name: string; readonly bytes: Uint8Array }[]>;

export interface ResumedRecord {
  readonly started: string;
  readonly step: number;
  readonly chain: string;
  readonly weights: bigint;
  /** The lines of metrics.jsonl, and the last lines of events.jsonl. */
  readonly lines: RecordedLines;
  readonly events: string;
}
