import type { Evaluated } from '../feed/api.ts';
import { find, make, setText } from './dom.ts';
import { count, percent } from './format.ts';
import { MAX_CONFUSIONS, MAX_MATRIX_CLASSES } from './page-limits.ts';
import type { RunState } from './run-state.ts';

/** An off-diagonal cell with this share of its row gets the full shade. */
const FULL_SHADE = 0.05;

/** The confusion matrix of the newest evaluation. */
export function mountConfusion(): (state: RunState) => void {
  const box = find('matrix', HTMLElement);
  const note = find('confusion-note', HTMLElement);
  let shown: Evaluated | undefined;
  return ({ evaluated, view }) => {
    if (evaluated === shown || evaluated === undefined) return;
    shown = evaluated;
    const { confusion, set, step } = evaluated;
    const name = (index: number) => view.classNames[index] ?? String(index);
    const isSmall = confusion.length <= MAX_MATRIX_CLASSES;
    setText(
      note,
      `On the ${set} set after step ${count(step)}. ` +
        (isSmall
          ? 'Rows: true class; columns: predicted class; shade: share of the row.'
          : 'The most frequent confusions.'),
    );
    box.replaceChildren(isSmall ? makeMatrix(confusion, name) : makeList(confusion, name));
  };
}

function makeMatrix(
  confusion: Evaluated['confusion'],
  name: (index: number) => string,
): HTMLTableElement {
  // Long names label only the rows.
  const names = confusion.map((_, index) => name(index));
  const isShort = names.every((text) => text.length <= 3);
  const heads = names.map((text, index) =>
    make('th', { scope: 'col', title: text }, isShort ? text : String(index)),
  );
  const label = (index: number) => (isShort ? name(index) : `${index} ${name(index)}`);
  const corner = make('td', { class: 'corner' });
  const head = make(
    'tr',
    {},
    corner,
    ...heads,
    make('th', { scope: 'col', class: 'right' }, 'correct'),
  );
  const rows = confusion.map((counts, actual) => {
    const sum = counts.reduce((a, b) => a + b, 0);
    const cells = counts.map((cell, predicted) => makeCell(cell, sum, actual === predicted));
    const right = make('td', { class: 'right' }, percent((counts[actual] ?? 0) / sum, 1));
    return make('tr', {}, make('th', { scope: 'row' }, label(actual)), ...cells, right);
  });
  const caption = make(
    'caption',
    { class: 'unseen' },
    'Rows are true classes, columns are predicted classes.',
  );
  return make('table', {}, caption, make('thead', {}, head), make('tbody', {}, ...rows));
}

function makeCell(cell: number, sum: number, isRight: boolean): HTMLTableCellElement {
  const element = make(
    'td',
    { class: isRight ? 'hit' : cell === 0 ? 'none' : 'miss' },
    count(cell),
  );
  const share = sum === 0 ? 0 : cell / sum;
  element.style.setProperty(
    '--shade',
    String(isRight ? share : Math.sqrt(Math.min(1, share / FULL_SHADE))),
  );
  return element;
}

function makeList(
  confusion: Evaluated['confusion'],
  name: (index: number) => string,
): HTMLOListElement {
  const found = confusion.flatMap((counts, actual) =>
    counts.flatMap((cell, predicted) =>
      cell > 0 && actual !== predicted ? [{ actual, predicted, cell }] : [],
    ),
  );
  const most = found.toSorted((a, b) => b.cell - a.cell).slice(0, MAX_CONFUSIONS);
  const items = most.map(({ actual, predicted, cell }) =>
    make('li', {}, `${name(actual)} predicted as ${name(predicted)}: ${count(cell)}`),
  );
  return make('ol', {}, ...items);
}
