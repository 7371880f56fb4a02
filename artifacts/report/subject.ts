import type { Misclassified } from '../../shared/evaluation/misclassified.ts';
import type { Score } from '../../shared/evaluation/score.ts';
import type { ConfigurationRecord } from '../../shared/configuration.ts';
import type { EngineIdentity } from '../../shared/engine-identity.ts';
import type { MetricsLine } from '../../shared/files/metrics.ts';

/** What was evaluated: the model and the data. Excludes time, machine and number of workers. */
export interface Subject {
  /** The mnist-dist version. */
  readonly version: string;
  /** The run id; undefined for a model file without a run. */
  readonly run: string | undefined;
  readonly model: {
    readonly sha256: string;
    /** The weights are those after this step. */
    readonly step: number;
    /** The chain link at that step. */
    readonly chain: string;
    /** The training settings, as in run.json and the model file. */
    readonly configuration: ConfigurationRecord;
  };
  readonly dataset: {
    /** Undefined for a dataset without a name. */
    readonly name: string | undefined;
    readonly sha256: string;
    readonly split: 'test' | 'train';
    readonly rows: number;
    readonly columns: number;
    readonly classNames: readonly string[];
  };
  /** The engine that computed the predictions. */
  readonly engine: EngineIdentity;
}

/** The input for the artifacts. */
export interface Evaluation {
  readonly subject: Subject;
  readonly score: Score;
  /** In sample order. */
  readonly wrong: readonly Misclassified[];
  /** [samples, rows * columns] in the split that was evaluated. */
  readonly images: Uint8Array;
  /**
   * Iterates over the lines of a training run's metrics.jsonl from the start; undefined if no
   * training is shown.
   */
  readonly metrics: (() => Iterable<MetricsLine>) | undefined;
}
