import { ClusterError } from '../../shared/errors.ts';
import {
  checkPrediction,
  classifyFile,
  classifyPixels,
  classNameOf,
  type PictureModel,
} from '../models/picture-model.ts';
import { chooseModel, layoutOf } from '../runs/choose-model.ts';
import { retryPolicyOf } from '../runs/transfer.ts';
import type { Log } from '../terminal/log.ts';
import { aborted, checkAborted, publicError } from './errors.ts';
import type { FilePrediction, LoadOptions, Model, PredictOptions } from './public-types.ts';

const DEFAULT_RUNS = 'runs';

const nothing = (): void => undefined;
const silent: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** Loads the model of a run, a file or a URI; without a name, that of the newest run. */
export async function openModel(
  named: string | undefined,
  { runsDir = DEFAULT_RUNS, data, signal }: LoadOptions,
): Promise<Model> {
  const stopping = new AbortController();
  const stop = (): void => stopping.abort(aborted());
  signal?.addEventListener('abort', stop, { once: true });
  try {
    checkAborted(signal);
    const chosen = await chooseModel(named, runsDir, retryPolicyOf(stopping.signal, silent));
    checkPrediction(chosen);
    const model = { ...chosen, layout: await layoutOf(chosen, data) };
    checkAborted(signal);
    return modelOf(model, chosen.step);
  } catch (error) {
    throw publicError(error, signal);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** Classifies each file, one after the other. */
export async function predictFiles(
  files: readonly string[],
  options: PredictOptions,
): Promise<FilePrediction[]> {
  const model = await openModel(options.model, options);
  const found: FilePrediction[] = [];
  for (const file of files) {
    if (options.signal?.aborted === true) throw publicError(aborted(), options.signal);
    found.push(await model.predictFile(file));
  }
  return found;
}

function modelOf(model: PictureModel, step: number): Model {
  const { name } = model;
  const { rows, columns, classNames } = model.layout;
  return {
    name,
    step,
    rows,
    columns,
    classNames,
    predict(pixels) {
      try {
        const found = classifyPixels(model, checkedPixels(pixels, rows * columns), 'these pixels');
        return { ...found, className: classNameOf(found, classNames) };
      } catch (error) {
        throw publicError(error);
      }
    },
    async predictFile(file) {
      try {
        const { predicted, probabilities } = await classifyFile(model, file);
        const className = classNameOf({ predicted }, classNames);
        return { file, predicted, className, probabilities };
      } catch (error) {
        throw publicError(error);
      }
    },
  };
}

function checkedPixels(pixels: ArrayLike<number>, count: number): Float32Array {
  if (pixels.length !== count)
    throw new ClusterError('IMAGE', `${pixels.length} pixels; the model takes ${count}`, {
      fix: 'pass rows x columns values from 0 (background) to 1, row by row',
    });
  const values = Float32Array.from(pixels);
  const bad = values.findIndex((value) => !(value >= 0 && value <= 1));
  if (bad === -1) return values;
  throw new ClusterError('IMAGE', `pixel ${bad} is ${pixels[bad]}, which is not from 0 to 1`, {
    fix: 'divide bytes by 255; the background is 0',
  });
}
