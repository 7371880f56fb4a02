import type { Misclassified } from '../../shared/evaluation/misclassified.ts';
import { confidence, worst } from '../../shared/evaluation/worst.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { columnsOf, padRight } from './columns.ts';
import { percent } from '../../shared/text/number-format.ts';
import type { Style } from './style.ts';
import { className } from './summary.ts';

const SHOWN_MISTAKES = 10;
const GAP_COLUMNS = 2;
/** Lowest pixel value that is drawn as a dot. */
const INK = 96;
/** Bits of a Braille pattern (U+2800): two columns of four dots. */
const dots = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

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
  const columns = Math.max(...blocks.flat().map(columnsOf)) + GAP_COLUMNS;
  const perLine = Math.max(1, Math.floor(width / columns));
  const lines = ['The most confident mistakes, with their confidence and image index'];
  for (let first = 0; first < blocks.length; first += perLine) {
    const side = blocks.slice(first, first + perLine);
    for (const row of side[0]?.keys() ?? [])
      lines.push(
        side
          .map((block) => padRight(block[row] ?? '', columns))
          .join('')
          .trimEnd(),
      );
    lines.push('');
  }
  return lines;
}

function picture(
  { test, rows, columns }: Pick<Dataset, 'test' | 'rows' | 'columns'>,
  index: number,
): string[] {
  const image = test.images.subarray(index * rows * columns, (index + 1) * rows * columns);
  const isInk = (y: number, x: number) =>
    y < rows && x < columns && (image[y * columns + x] ?? 0) >= INK;
  return Array.from({ length: Math.ceil(rows / 4) }, (_, y) =>
    Array.from({ length: Math.ceil(columns / 2) }, (_each, x) => {
      let pattern = 0x2800;
      dots.forEach((pair, dy) =>
        pair.forEach((bit, dx) => {
          if (isInk(4 * y + dy, 2 * x + dx)) pattern += bit;
        }),
      );
      return String.fromCharCode(pattern);
    }).join(''),
  );
}
