import type { EvaluateOptions, Evaluation, FilePrediction, LoadOptions } from './public-types.ts';
import type { Model, PredictOptions, Training, TrainOptions } from './public-types.ts';
import { openModel, predictFiles } from './open-model.ts';
import { runEvaluation } from './run-evaluation.ts';
import { runTraining } from './run-training.ts';

export type * from './public-types.ts';
export type { ErrorCode, EvaluateSettings, TrainSettings } from './generated-types.ts';
export { MnistDistError } from './public-error.ts';

/**
 * Trains a model with a coordinator and workers in processes of their own, as `mnist-dist local`
 * does. Rejects with a MnistDistError. When the signal is aborted, the run writes a checkpoint and
 * ends; the promise then rejects with INTERRUPTED, and the error's `directory` is what `resume`
 * takes.
 */
export function train(options: TrainOptions = {}): Training {
  return runTraining(options);
}

/**
 * Evaluates a run directory, a model.safetensors file or the URI of a run (default: the newest
 * finished run) in processes of their own, as `mnist-dist eval` does.
 */
export async function evaluate(model?: string, options: EvaluateOptions = {}): Promise<Evaluation> {
  return await runEvaluation(model, options);
}

/**
 * Classifies the drawings in PNG and JPEG files, in their order, as `mnist-dist predict` does.
 * Rejects with IMAGE at the first file that has none.
 */
export async function predict(
  files: readonly string[],
  options: PredictOptions = {},
): Promise<FilePrediction[]> {
  return await predictFiles(files, options);
}

/**
 * Loads the model of a run directory, a model.safetensors file or the URI of a run (default: the
 * newest finished run), to predict with it many times.
 */
export async function loadModel(model?: string, options: LoadOptions = {}): Promise<Model> {
  return await openModel(model, options);
}
