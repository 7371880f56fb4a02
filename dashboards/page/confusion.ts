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

/** A cell of a matrix: `shade` is from 0 to 1. */
interface Cell {
  readonly text: string;
  readonly kind: 'hit' | 'miss' | 'none';
  readonly shade: number;
}

interface MatrixContent {
  readonly caption: string;
  /** Rows are the true classes. */
  readonly rows: readonly (readonly Cell[])[];
  /** The column after the matrix. */
  readonly last: { readonly head: string; readonly texts: readonly string[] };
}

/** The matrix with its counts, shaded by their shares of the rows. */
export function makeMatrix(
  confusion: Evaluated['confusion'],
  name: (index: number) => string,
): HTMLTableElement {
  const sums = confusion.map((counts) => counts.reduce((a, b) => a + b, 0));
  return matrixTable(name, {
    caption: 'Rows are true classes, columns are predicted classes.',
    rows: confusion.map((counts, actual) =>
      counts.map((cell, predicted) => cellOf(cell, sums[actual] ?? 0, actual === predicted)),
    ),
    last: {
      head: 'correct',
      texts: confusion.map((counts, actual) =>
        percent((counts[actual] ?? 0) / (sums[actual] ?? 0), 1),
      ),
    },
  });
}

/** A table with a row and a column for each class. */
export function matrixTable(
  name: (index: number) => string,
  { caption, rows, last }: MatrixContent,
): HTMLTableElement {
  // Long names label only the rows.
  const names = rows.map((_, index) => name(index));
  const isShort = names.every((text) => text.length <= 3);
  const heads = names.map((text, index) =>
    make('th', { scope: 'col', title: text }, isShort ? text : String(index)),
  );
  const label = (index: number) => (isShort ? name(index) : `${index} ${name(index)}`);
  const corner = make('td', { class: 'corner' });
  const end = make('th', { scope: 'col', class: 'right' }, last.head);
  const body = rows.map((cells, actual) =>
    make(
      'tr',
      {},
      make('th', { scope: 'row' }, label(actual)),
      ...cells.map(makeCell),
      make('td', { class: 'right' }, last.texts[actual] ?? ''),
    ),
  );
  return make(
    'table',
    {},
    make('caption', { class: 'unseen' }, caption),
    make('thead', {}, make('tr', {}, corner, ...heads, end)),
    make('tbody', {}, ...body),
  );
}

function cellOf(cell: number, sum: number, isRight: boolean): Cell {
  const share = sum === 0 ? 0 : cell / sum;
  return {
    text: count(cell),
    kind: isRight ? 'hit' : cell === 0 ? 'none' : 'miss',
    shade: isRight ? share : Math.sqrt(Math.min(1, share / FULL_SHADE)),
  };
}

function makeCell({ text, kind, shade }: Cell): HTMLTableCellElement {
  const element = make('td', { class: kind }, text);
  element.style.setProperty('--shade', String(shade));
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
