import type { Misclassified } from '../../shared/evaluation/misclassified.ts';
import { confidence, worst } from '../../shared/evaluation/worst.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { dotLines, sideBySide } from './dot-picture.ts';
import { percent } from '../../shared/text/number-format.ts';
import type { Style } from './style.ts';
import { className } from './summary.ts';

const SHOWN_MISTAKES = 10;

/**
 * The most confident mistakes as pictures made of dots, side by side, each with a caption below.
 */
export function mistakeLines(
  wrong: readonly Misclassified[],
  dataset: Pick<Dataset, 'test' | 'rows' | 'columns' | 'classNames'>,
  width: number,
  style: Style,
): string[] {
  if (wrong.length === 0) return ['No mistakes.', ''];
  const blocks = worst(wrong, SHOWN_MISTAKES).map((mistake) => {
    const { index, true: label, predicted } = mistake;
    const [is, taken] = [label, predicted].map((each) => className(dataset.classNames, each));
    const caption = [`${is} taken for ${taken}`, `${percent(confidence(mistake))}, ${index}`];
    // A terminal without Unicode shows the captions only.
    return style.unicode ? [...picture(dataset, index), ...caption] : caption;
  });
  return [
    'The most confident mistakes, with their confidence and image index',
    ...sideBySide(blocks, width),
  ];
}

function picture(
  { test, rows, columns }: Pick<Dataset, 'test' | 'rows' | 'columns'>,
  index: number,
): string[] {
  const image = test.images.subarray(index * rows * columns, (index + 1) * rows * columns);
  return dotLines(image, { rows, columns });
}
