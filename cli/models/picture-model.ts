import { predictionExcess } from '../../shared/arithmetic/model-size.ts';
import { probabilities } from '../../shared/digit/network.ts';
import { normalise, type Picture } from '../../shared/digit/normalise.ts';
import { drawingOf } from '../../shared/digit/read-drawing.ts';
import { ClusterError } from '../../shared/errors.ts';
import { readPicture } from '../../shared/pictures/read-picture.ts';
import type { ChosenModel, Layout } from '../runs/choose-model.ts';

/** A model with the size of its pictures and the names of its classes. */
export interface PictureModel extends Pick<ChosenModel, 'name' | 'configuration' | 'weights'> {
  readonly layout: Layout;
}

/** What a model says of one picture. */
export interface Classified {
  /** The class with the highest probability; the first one on a tie. */
  readonly predicted: number;
  /** One per class. */
  readonly probabilities: readonly number[];
}

/** Throws LIMIT, before anything is allocated, if a prediction would be too large. */
export function checkPrediction({ name, configuration }: ChosenModel): void {
  const excess = predictionExcess(configuration.model);
  if (excess !== undefined)
    throw new ClusterError('LIMIT', `the model ${name} ${excess}`, {
      fix: 'use a smaller model; eval computes larger ones (--max-memory-bytes)',
    });
}

/**
 * Classifies pixels from 0 (background) to 1, row by row; `subject` names them in errors. Throws
 * DIVERGED if a probability is not finite.
 */
export function classifyPixels(
  { name, configuration, weights }: PictureModel,
  pixels: Float32Array,
  subject: string,
): Classified {
  const found = [...probabilities(configuration.model, weights, pixels)];
  if (!found.every(Number.isFinite))
    throw new ClusterError(
      'DIVERGED',
      `the probabilities of ${name} for ${subject} are not finite`,
    );
  return { predicted: found.indexOf(Math.max(...found)), probabilities: found };
}

/** Classifies the drawing in a picture file. Rejects with IMAGE if there is none. */
export async function classifyFile(
  model: PictureModel,
  file: string,
): Promise<Classified & { readonly picture: Picture }> {
  const drawing = drawingOf(await readPicture(file));
  if (drawing === undefined) {
    throw new ClusterError('IMAGE', `${file}: the picture is blank`, {
      fix: 'draw in one colour on a plain background of a different colour that reaches the border',
    });
  }
  const { rows, columns } = model.layout;
  const picture = normalise(drawing, rows, columns);
  return { picture, ...classifyPixels(model, picture.pixels, file) };
}

export function classNameOf(
  { predicted }: Pick<Classified, 'predicted'>,
  classNames: readonly string[],
): string {
  return classNames[predicted] ?? String(predicted);
}
