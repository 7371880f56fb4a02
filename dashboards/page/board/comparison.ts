import type { BoardEvaluation } from '../../board/api.ts';
import { makeMatrix, matrixTable } from '../confusion.ts';
import { find, make } from '../dom.ts';
import { count } from '../format.ts';
import { MAX_MATRIX_CLASSES } from '../page-limits.ts';
import type { BoardState } from './board-state.ts';
import { fetchEvaluation, fetchMistakes } from './board-wire.ts';
import { showPairs } from './mistake-list.ts';

/** Two runs next to each other: their confusion matrices, the difference, and their mistakes. */
export class Comparison {
  readonly #state: BoardState;
  readonly #selects = [
    find('first-run', HTMLSelectElement),
    find('second-run', HTMLSelectElement),
  ] as const;
  #offered = '';
  /** The runs that are shown, and the state of their files. */
  #shown = '';
  #areChosen = false;

  constructor(state: BoardState) {
    this.#state = state;
    for (const select of this.#selects)
      select.addEventListener('change', () => {
        this.#areChosen = true;
        this.show();
      });
  }

  show(): void {
    this.#offer();
    const [first, second] = this.#selects.map(({ value }) => this.#state.run(value));
    find('comparison', HTMLElement).hidden = first === undefined || second === undefined;
    if (first === undefined || second === undefined) return;
    const shown = JSON.stringify(
      [first, second].map(({ name, step, state }) => [name, step, state]),
    );
    if (shown === this.#shown) return;
    this.#shown = shown;
    void this.#fetch(first.name, second.name, shown);
  }

  /** Offers the runs that have been evaluated. The first two chosen ones are selected at first. */
  #offer(): void {
    const runs = this.#state.view?.runs.filter(({ evaluation }) => evaluation !== undefined) ?? [];
    const names = runs.map(({ name }) => name);
    const chosen = this.#state.chosen
      .map(({ run }) => run.name)
      .filter((name) => names.includes(name));
    const wanted = [...new Set([...chosen, ...names])];
    const offered = JSON.stringify([names, this.#areChosen ? [] : wanted.slice(0, 2)]);
    if (offered === this.#offered) return;
    this.#offered = offered;
    for (const [index, select] of this.#selects.entries()) {
      const value = this.#areChosen && names.includes(select.value) ? select.value : wanted[index];
      select.replaceChildren(...names.map((name) => make('option', { value: name }, name)));
      select.value = value ?? '';
    }
  }

  async #fetch(first: string, second: string, shown: string): Promise<void> {
    const failed = (error: unknown) => (error instanceof Error ? error.message : String(error));
    const [one, two, pairs] = await Promise.all([
      fetchEvaluation(first).catch(failed),
      fetchEvaluation(second).catch(failed),
      fetchMistakes(first, second).catch(failed),
    ]);
    // Other runs may have been selected in the meantime.
    if (shown !== this.#shown) return;
    showMatrices([first, second], [one, two]);
    showPairs([first, second], pairs);
  }
}

type Fetched = BoardEvaluation | string | undefined;

function showMatrices(names: readonly [string, string], both: readonly [Fetched, Fetched]): void {
  const boxes = ['first-matrix', 'second-matrix', 'difference'].map((id) => find(id, HTMLElement));
  const [one, two] = both;
  for (const [index, evaluation] of both.entries())
    boxes[index]?.replaceChildren(...figure(names[index] ?? '', evaluation));
  const problem = whyDifferent(one, two);
  const title = make('h3', {}, 'Difference');
  if (problem !== '' || typeof one !== 'object' || typeof two !== 'object') {
    boxes[2]?.replaceChildren(title, make('p', { class: 'note' }, problem));
    return;
  }
  const note = `${names[1]} minus ${names[0]}. Blue is better, orange is worse.`;
  boxes[2]?.replaceChildren(title, make('p', { class: 'note' }, note), makeDifference(one, two));
}

function figure(name: string, evaluation: Fetched): HTMLElement[] {
  const title = make('h3', {}, name);
  if (typeof evaluation !== 'object')
    return [title, make('p', { class: 'note' }, evaluation ?? 'It has not been evaluated.')];
  const { set, step, confusion } = evaluation;
  const note = make('p', { class: 'note' }, `On the ${set} set after step ${count(step)}.`);
  if (confusion.length > MAX_MATRIX_CLASSES)
    return [title, note, make('p', { class: 'note' }, 'Too many classes for a matrix.')];
  return [title, note, makeMatrix(confusion, nameOf(evaluation))];
}

function nameOf({ classNames }: BoardEvaluation): (index: number) => string {
  return (index) => classNames[index] ?? String(index);
}

/** Why two matrices cannot be subtracted; empty if they can. */
function whyDifferent(one: Fetched, two: Fetched): string {
  if (typeof one !== 'object' || typeof two !== 'object') return 'It needs two evaluations.';
  if (one.dataset !== two.dataset) return 'The runs have different datasets.';
  const sums = [one, two].map(({ confusion }) =>
    JSON.stringify(confusion.map((counts) => counts.reduce((a, b) => a + b, 0))),
  );
  if (sums[0] !== sums[1]) return 'The runs were evaluated on different sets.';
  return one.confusion.length > MAX_MATRIX_CLASSES ? 'Too many classes for a matrix.' : '';
}

/** More correct predictions and fewer wrong ones are better. */
function makeDifference(one: BoardEvaluation, two: BoardEvaluation): HTMLTableElement {
  const rows = two.confusion.map((counts, actual) =>
    counts.map((cell, predicted) => cell - (one.confusion[actual]?.[predicted] ?? 0)),
  );
  const most = Math.max(1, ...rows.flat().map(Math.abs));
  return matrixTable(nameOf(two), {
    caption: 'Rows are true classes, columns are predicted classes. Positive: the second run more.',
    rows: rows.map((cells, actual) =>
      cells.map((difference, predicted) => {
        const isBetter = difference > 0 === (actual === predicted);
        const kind = difference === 0 ? 'none' : isBetter ? 'hit' : 'miss';
        return {
          text: signed(difference),
          kind,
          shade: kind === 'none' ? 0 : Math.sqrt(Math.abs(difference) / most),
        };
      }),
    ),
    last: {
      head: 'correct',
      texts: rows.map((cells, actual) => signed(cells[actual] ?? 0)),
    },
  });
}

function signed(value: number): string {
  return value > 0 ? `+${count(value)}` : value < 0 ? `−${count(-value)}` : '0';
}
