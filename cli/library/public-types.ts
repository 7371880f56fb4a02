import type { EvaluateSettings, TrainSettings } from './generated-types.ts';

/** What ends a call early. */
export interface Abortable {
  /**
   * Stops the computation. The promise then rejects with a MnistDistError of code `INTERRUPTED`,
   * after all processes have ended; `cause` is the signal's reason.
   */
  readonly signal?: AbortSignal | undefined;
}

/** The options of `mnist-dist local`, in camelCase. `http` is false if it is not given. */
export interface TrainOptions extends TrainSettings, Abortable {}

/** The options of `mnist-dist eval`, in camelCase. It draws pictures only into `out`. */
export interface EvaluateOptions extends EvaluateSettings, Abortable {}

export interface LoadOptions extends Abortable {
  /** The folder whose newest finished run is the default model (default: `runs`). */
  readonly runsDir?: string | undefined;
  /** The dataset that gives the size of the pictures and the names of the classes. */
  readonly data?: string | undefined;
}

export interface PredictOptions extends LoadOptions {
  /** A run directory, a model.safetensors file or the URI of a run (default: the newest run). */
  readonly model?: string | undefined;
}

/** A step of a run. */
export interface TrainingStep {
  readonly kind: 'step';
  /** From 1. */
  readonly step: number;
  /** From 1. */
  readonly epoch: number;
  /** The number of samples in the batch. */
  readonly samples: number;
  /** The mean loss of the batch, before the step. */
  readonly loss: number;
  /** The part of the batch that was classified correctly, before the step. */
  readonly accuracy: number;
  readonly learningRate: number | undefined;
  readonly milliseconds: number;
}

/** An evaluation during or at the end of a run. */
export interface TrainingEvaluation {
  readonly kind: 'evaluation';
  readonly set: 'test' | 'validation';
  /** The step after which the set was evaluated. */
  readonly step: number;
  readonly epoch: number;
  readonly samples: number;
  readonly loss: number;
  readonly accuracy: number;
}

/** A finished run. */
export interface TrainResult {
  /** The run directory. */
  readonly directory: string;
  /** The path of model.safetensors, which `loadModel` takes. */
  readonly modelFile: string;
  /** The SHA-256 of model.safetensors. */
  readonly modelSha256: string;
  /** The last step. */
  readonly step: number;
  /** The result on the test set. */
  readonly test: { readonly loss: number; readonly accuracy: number };
  /** Why the run ended before its last step (`earlyStopping`). */
  readonly stoppedEarly: string | undefined;
}

/**
 * A run that is being trained. Its promise resolves when the run has finished.
 *
 * Each `for await` loop goes through the steps and evaluations of the whole run from its first step
 * on, waits for new ones, and ends with the run; it throws the error of a run that fails. `break`
 * ends the loop and not the run.
 */
export interface Training
  extends Promise<TrainResult>, AsyncIterable<TrainingStep | TrainingEvaluation> {}

/** The result of a model on a set. */
export interface Evaluation {
  /** The path of the model. */
  readonly model: string;
  /** The step of the model's weights. */
  readonly step: number;
  readonly samples: number;
  readonly correct: number;
  readonly accuracy: number;
  readonly loss: number;
  readonly classNames: readonly string[];
  /** Rows are the true classes, columns the predicted ones. */
  readonly confusion: readonly (readonly number[])[];
}

export interface Prediction {
  /** The index of the class with the highest probability. */
  readonly predicted: number;
  readonly className: string;
  /** One per class. */
  readonly probabilities: readonly number[];
}

export interface FilePrediction extends Prediction {
  readonly file: string;
}

/** A model in memory. It holds no process and no file. */
export interface Model {
  /** The path of its file, or its URI. */
  readonly name: string;
  /** The step of its weights. */
  readonly step: number;
  /** The size of its pictures, in pixels. */
  readonly rows: number;
  readonly columns: number;
  readonly classNames: readonly string[];
  /** Classifies pixels from 0 (background) to 1, row by row. */
  predict(pixels: ArrayLike<number>): Prediction;
  /** Classifies the drawing in a PNG or JPEG file. */
  predictFile(file: string): Promise<FilePrediction>;
}
