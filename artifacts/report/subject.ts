import type { Misclassified } from '../../shared/evaluation/misclassified.ts';
import type { Score } from '../../shared/evaluation/score.ts';
import type { ConfigurationRecord } from '../../shared/configuration.ts';
import type { EngineIdentity } from '../../shared/engine-identity.ts';
import type { MetricsLine } from '../../shared/files/metrics.ts';

/** Which model was evaluated, and on what. Nothing here says when, where or by how many. */
export interface Subject {
  /** The version of mnist-dist. */
  readonly version: string;
  /** The run's id; undefined for a model file that lies by itself. */
  readonly run: string | undefined;
  readonly model: {
    readonly sha256: string;
    /** The step after which its weights are. */
    readonly step: number;
    /** The link of that step. */
    readonly chain: string;
    /** What it was trained with, as run.json and the model file have it. */
    readonly configuration: ConfigurationRecord;
  };
  readonly dataset: {
    /** Undefined for one that has no name. */
    readonly name: string | undefined;
    readonly sha256: string;
    readonly split: 'test' | 'train';
    readonly rows: number;
    readonly columns: number;
    readonly classNames: readonly string[];
  };
  /** What computed the predictions. */
  readonly engine: EngineIdentity;
}

/** All that the artifacts are made of. */
export interface Evaluation {
  readonly subject: Subject;
  readonly score: Score;
  /** In sample order. */
  readonly wrong: readonly Misclassified[];
  /** [samples, rows * columns] of the split that was evaluated. */
  readonly images: Uint8Array;
  /**
   * The lines of metrics.jsonl of a training run, from the first one on; undefined where no
   * training is shown.
   */
  readonly metrics: (() => Iterable<MetricsLine>) | undefined;
}
