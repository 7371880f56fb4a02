import type { BoardRun, BoardView } from '../../board/api.ts';
import { find, make, setAttribute, setText } from '../dom.ts';
import { count } from '../format.ts';
import type { BoardState } from './board-state.ts';
import { MAX_CHOSEN, MAX_OPEN_UNLISTED } from './board-limits.ts';
import { columnsOf, searchText, sorted, type Column, type Order } from './columns.ts';
import { lookOf } from './board-state.ts';

interface Row {
  readonly element: HTMLTableRowElement;
  readonly box: HTMLInputElement;
  readonly swatch: HTMLElement;
  readonly report: HTMLElement;
  readonly cells: readonly HTMLTableCellElement[];
}

/** The table of runs, with its filter and the folders that are not runs. */
export class RunTable {
  readonly #state: BoardState;
  readonly #changed: () => void;
  readonly #head = find('run-heads', HTMLTableRowElement);
  readonly #body = find('run-rows', HTMLElement);
  readonly #filter = find('filter', HTMLInputElement);
  readonly #wanted = find('filter-state', HTMLSelectElement);
  readonly #rows = new Map<string, Row>();
  #columns: Column[] = [];
  #order: Order = { key: 'started', isDescending: true };
  #heads = '';
  #places = '';

  /** `changed` is called when other runs have been chosen. */
  constructor(state: BoardState, changed: () => void) {
    this.#state = state;
    this.#changed = changed;
    this.#filter.addEventListener('input', () => this.show());
    this.#wanted.addEventListener('change', () => this.show());
    find('choose-none', HTMLButtonElement).addEventListener('click', () => {
      state.dropAll();
      changed();
    });
  }

  show(): void {
    const { view } = this.#state;
    if (view === undefined) return;
    const runs = this.#shownRuns(view);
    this.#columns = columnsOf(view).filter((column) => isShown(column, runs));
    this.#showHeads();
    this.#showRows(sorted(runs, this.#columns, this.#order));
    setText(
      find('run-count', HTMLElement),
      runs.length === view.runs.length ? '' : `${count(runs.length)} of ${count(view.runs.length)}`,
    );
    find('no-runs', HTMLElement).hidden = view.runs.length > 0 || view.pending > 0;
    find('choose-none', HTMLButtonElement).disabled = this.#state.chosen.length === 0;
    showUnlisted(view);
  }

  #shownRuns(view: BoardView): BoardRun[] {
    const words = this.#filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = this.#wanted.value;
    return view.runs.filter((run) => {
      if (wanted !== '' && run.state !== wanted) return false;
      const text = searchText(run, view);
      return words.every((word) => text.includes(word));
    });
  }

  #showHeads(): void {
    const heads = JSON.stringify(this.#columns.map(({ key, head }) => [key, head]));
    if (heads !== this.#heads) {
      this.#heads = heads;
      const first = make('th', { scope: 'col' }, make('span', { class: 'unseen' }, 'Curves'));
      const last = make('th', { scope: 'col' }, 'Report');
      this.#head.replaceChildren(
        first,
        ...this.#columns.map((column) => this.#makeHead(column)),
        last,
      );
      // The cells belong to the former columns.
      this.#rows.clear();
      this.#body.replaceChildren();
      this.#places = '';
    }
    for (const [index, { key }] of this.#columns.entries()) {
      const head = this.#head.children[index + 1];
      const direction = this.#order.isDescending ? 'descending' : 'ascending';
      if (head !== undefined)
        setAttribute(head, 'aria-sort', key === this.#order.key ? direction : 'none');
    }
  }

  #makeHead({ key, head, isNumber }: Column): HTMLTableCellElement {
    const button = make('button', { type: 'button' }, head);
    button.addEventListener('click', () => {
      const isSame = this.#order.key === key;
      // The best accuracy and the newest run are at the top first.
      const isDescending = isSame ? !this.#order.isDescending : isNumber && key !== 'loss';
      this.#order = { key, isDescending };
      this.show();
    });
    return make('th', { scope: 'col', class: isNumber ? 'number' : 'text' }, button);
  }

  #showRows(runs: readonly BoardRun[]): void {
    const places = JSON.stringify(runs.map(({ name }) => name));
    for (const run of runs) this.#write(this.#rowOf(run), run);
    if (places === this.#places) return;
    this.#places = places;
    const { activeElement } = document;
    const elements = runs.map(({ name }) => this.#rows.get(name)?.element ?? '');
    this.#body.replaceChildren(...elements);
    // A row that moves loses the focus.
    if (activeElement instanceof HTMLElement && this.#body.contains(activeElement))
      activeElement.focus();
  }

  #rowOf(run: BoardRun): Row {
    const known = this.#rows.get(run.name);
    if (known !== undefined) return known;
    const box = make('input', { type: 'checkbox', 'aria-label': `Show the curves of ${run.name}` });
    box.addEventListener('change', () => {
      if (box.checked) this.#state.choose(run.name);
      else this.#state.drop(run.name);
      this.#changed();
    });
    const swatch = make('i', { 'aria-hidden': 'true' });
    const cells = this.#columns.map(({ key, isNumber }) => {
      if (key !== 'run') return make('td', { class: isNumber ? 'number' : `text ${key}` });
      const link = make('a', { href: `/runs/${encodeURIComponent(run.name)}/` }, run.name);
      return make('th', { scope: 'row', class: 'text' }, link);
    });
    const report = make('td');
    const element = make('tr', {}, make('td', { class: 'choice' }, box, swatch), ...cells, report);
    const row = { element, box, swatch, report, cells };
    this.#rows.set(run.name, row);
    return row;
  }

  #write({ element, box, swatch, report, cells }: Row, run: BoardRun): void {
    const slot = this.#state.slotOf(run.name);
    const look = slot === undefined ? undefined : lookOf(slot);
    setAttribute(element, 'data-state', run.state);
    setAttribute(
      swatch,
      'class',
      look === undefined ? 'swatch' : `swatch run-${look.colour}${look.isDashed ? ' dashed' : ''}`,
    );
    box.checked = slot !== undefined;
    box.disabled = slot === undefined && this.#state.isFull;
    box.title = box.disabled ? `At most ${MAX_CHOSEN} runs can be shown` : '';
    for (const [index, column] of this.#columns.entries()) {
      const cell = cells[index];
      if (cell !== undefined && column.key !== 'run') setText(cell, column.text(run));
      if (cell !== undefined && column.key === 'accuracy' && run.evaluation !== undefined)
        setAttribute(cell, 'title', `on the ${run.evaluation.set} set`);
      // Long models are cut off.
      if (cell !== undefined && column.key === 'model') setAttribute(cell, 'title', run.model);
    }
    if (run.hasReport === report.childElementCount > 0) return;
    const href = `/runs/${encodeURIComponent(run.name)}/files/artifacts/report.html`;
    report.replaceChildren(
      ...(run.hasReport
        ? [make('a', { href, 'aria-label': `Report of ${run.name}` }, 'report')]
        : []),
    );
  }
}

/** A setting that all shown runs have in common is not a difference. */
function isShown({ key, text }: Column, runs: readonly BoardRun[]): boolean {
  if (!key.startsWith('setting ') && key !== 'model') return true;
  return new Set(runs.map(text)).size > 1;
}

function showUnlisted({ unlisted }: BoardView): void {
  const box = find('unlisted', HTMLDetailsElement);
  const list = find('unlisted-list', HTMLUListElement);
  const shown = JSON.stringify(unlisted);
  if (box.dataset['shown'] === shown) return;
  if (box.dataset['shown'] === undefined) box.open = unlisted.length <= MAX_OPEN_UNLISTED;
  box.dataset['shown'] = shown;
  box.hidden = unlisted.length === 0;
  setText(find('unlisted-count', HTMLElement), count(unlisted.length));
  list.replaceChildren(
    ...unlisted.map(({ name, reason }) => make('li', {}, make('b', {}, name), ` ${reason}`)),
  );
}
