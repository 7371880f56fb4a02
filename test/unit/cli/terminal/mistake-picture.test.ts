import { expect, it } from 'vitest';
import { mistakeLines } from '../../../../cli/terminal/mistake-picture.ts';
import type { Misclassified } from '../../../../shared/evaluation/misclassified.ts';

const images = new Uint8Array(2 * 20);
// The second of two 5 x 4 pictures has one pixel at the top left and one at the right of the fifth
// row.
images[20] = 255;
images[20 + 19] = 255;
const dataset = {
  test: { images, labels: Uint8Array.of(0, 1), samples: 2 },
  rows: 5,
  columns: 4,
  classNames: ['cat', 'd\u001b[31mog'],
};
const wrong: Misclassified[] = [
  { index: 0, true: 0, predicted: 1, probabilities: [0.4, 0.6], loss: 1 },
  { index: 1, true: 1, predicted: 0, probabilities: [0.9, 0.1], loss: 2 },
];

it('draws the most confident mistake first, one dot per pixel, with escaped names', () => {
  const [title, ...lines] = mistakeLines(wrong, dataset, 80, { colour: false, unicode: true });
  expect(title).toMatch(/^The most confident mistakes/);
  expect(lines[0]?.startsWith('\u2801\u2800 ')).toBe(true);
  expect(lines[1]?.startsWith('\u2800\u2808 ')).toBe(true);
  expect(lines[2]).toMatch(/taken for cat .*cat taken for/);
  expect(lines[3]).toMatch(/^90\.00 %, 1 .*60\.00 %, 0$/);
  expect(lines.join('')).not.toContain('\u001b');
});

it('without Unicode, shows only the captions, one mistake per line on a narrow terminal', () => {
  const lines = mistakeLines(wrong, dataset, 20, { colour: false, unicode: false });
  expect(lines.join('\n')).not.toMatch(/[\u2800-\u28ff]/);
  expect(lines).toHaveLength(7);
});

it('says so if there are no mistakes', () => {
  expect(mistakeLines([], dataset, 80, { colour: false, unicode: true })[0]).toBe('No mistakes.');
});
