import type { MistakePair, MistakePairs, Prediction } from '../../board/api.ts';
import { find, make, paintPicture, setText } from '../dom.ts';
import { count, percent } from '../format.ts';
import { pictureOf } from '../mistakes.ts';

/** Shows the mistakes of two runs: of both, and of one of them only. */
export function showPairs(
  [first, second]: readonly [string, string],
  pairs: MistakePairs | string,
): void {
  const note = find('pairs-note', HTMLElement);
  const box = find('pairs', HTMLElement);
  const problem = typeof pairs === 'string' ? pairs : pairs.problem;
  if (problem !== '' || typeof pairs === 'string') {
    setText(note, problem);
    return box.replaceChildren();
  }
  setText(
    note,
    `On the test set, the most confident first. 1: ${first}, 2: ${second}. ${pairs.noPictures}`,
  );
  const titles = ['Both are wrong', `Only ${first} is wrong`, `Only ${second} is wrong`];
  box.replaceChildren(
    ...pairs.groups.map(({ count: all, shown }, index) =>
      make(
        'section',
        {},
        make('h3', {}, `${titles[index] ?? ''}: ${count(all)}`),
        make('ul', {}, ...shown.map((pair) => makePair(pair, pairs))),
      ),
    ),
  );
}

function makePair(pair: MistakePair, { rows, columns, classNames }: MistakePairs): HTMLLIElement {
  const name = (index: number) => classNames[index] ?? String(index);
  const said = (prediction: Prediction | null, label: string) =>
    make(
      'span',
      { class: prediction === null ? 'right' : 'wrong' },
      prediction === null
        ? `${label}: right`
        : `${label}: ${name(prediction.class)}, ${percent(prediction.confidence, 0)}`,
    );
  const canvas = make('canvas', { 'aria-hidden': 'true' });
  if (pair.pixels !== '') paintPicture(canvas, pictureOf(pair.pixels, rows, columns));
  const [first, second] = pair.predicted;
  return make(
    'li',
    { title: `Test image ${pair.index}` },
    ...(pair.pixels === '' ? [] : [canvas]),
    make('b', {}, `true ${name(pair.true)}`),
    said(first, '1'),
    said(second, '2'),
  );
}
