import type { Picture } from '../../shared/digit/normalise.ts';
import type { Classified } from '../models/picture-model.ts';
import { columnsOf, padLeft } from './columns.ts';
import { joined, paint, type Line } from './styled-line.ts';
import { percent } from '../../shared/text/number-format.ts';
import type { Style } from './style.ts';
import { className } from './summary.ts';
import { pictureLines } from './terminal-picture.ts';

export interface Prediction extends Classified {
  readonly file: string;
  /** The picture as the model receives it. */
  readonly picture: Picture;
}

/** Maximum number of classes shown. */
const SHOWN_CLASSES = 10;
const BAR_COLUMNS = 24;
const GAP = '   ';

/**
 * The picture with the class probabilities beside it, or the probabilities alone if `width` is too
 * small.
 */
export function predictionLines(
  { file, picture, predicted, probabilities }: Prediction,
  classNames: readonly string[],
  width: number,
  style: Style,
): Line[] {
  const nameOf = (index: number) => className(classNames, index);
  const answer = paint(`${nameOf(predicted)}, ${percent(probabilities[predicted] ?? 0)}`, 'bold');
  const shown = likeliest(probabilities);
  const nameColumns = Math.max(...shown.map((index) => columnsOf(nameOf(index))));
  const bars = shown.map((index) => {
    const probability = probabilities[index] ?? 0;
    const name = padLeft(nameOf(index), nameColumns);
    const line = `${name} ${bar(probability, style)} ${percent(probability).padStart(8)}`;
    return index === predicted ? [paint(line, 'green')] : line;
  });
  const barsColumns = nameColumns + 1 + BAR_COLUMNS + 1 + 8;
  const isWide = picture.columns + GAP.length + barsColumns <= width;
  return [[`${file}: `, answer], ...(isWide ? sideBySide(picture, bars, style) : bars)];
}

/** The bars beside the picture, vertically centred. */
function sideBySide(picture: Picture, bars: readonly Line[], style: Style): Line[] {
  const left = pictureLines(picture, style);
  const first = Math.max(0, (left.length - bars.length) >> 1);
  const blank = ' '.repeat(picture.columns);
  return Array.from({ length: Math.max(left.length, first + bars.length) }, (_, line) =>
    joined([left[line] ?? blank, ...bars.slice(line - first, Math.max(0, line - first + 1))], GAP),
  );
}

/** All classes in order; if there are too many, the most likely ones. */
function likeliest(probabilities: readonly number[]): number[] {
  const all = [...probabilities.keys()];
  if (all.length <= SHOWN_CLASSES) return all;
  return all
    .toSorted((a, b) => (probabilities[b] ?? 0) - (probabilities[a] ?? 0) || a - b)
    .slice(0, SHOWN_CLASSES);
}

function bar(ratio: number, style: Style): string {
  const full = Math.round(ratio * BAR_COLUMNS);
  return (style.unicode ? '━' : '#').repeat(full).padEnd(BAR_COLUMNS);
}
