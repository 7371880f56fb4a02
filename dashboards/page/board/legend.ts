import { find, make, setText } from '../dom.ts';
import { count, loss, percent, short } from '../format.ts';
import { lookOf, type ChosenRun } from './board-state.ts';

interface Row {
  readonly element: HTMLTableRowElement;
  readonly cells: Readonly<Record<'step' | 'loss' | 'accuracy' | 'speed' | 'evaluated', Element>>;
  readonly note: HTMLElement;
}

/** The legend of all charts: the chosen runs, with their values at the cursor. */
export class Legend {
  readonly #body = find('legend-rows', HTMLElement);
  readonly #rows = new Map<string, Row>();
  readonly #drop: (run: string) => void;
  #runs: readonly ChosenRun[] = [];
  #step: number | undefined;
  #isScheduled = false;

  constructor(drop: (run: string) => void) {
    this.#drop = drop;
  }

  show(runs: readonly ChosenRun[]): void {
    this.#runs = runs;
    find('legend', HTMLElement).hidden = runs.length === 0;
    const names = new Set(runs.map(({ run }) => run.name));
    for (const [name, { element }] of this.#rows) {
      if (names.has(name)) continue;
      element.remove();
      this.#rows.delete(name);
    }
    for (const run of runs) if (!this.#rows.has(run.run.name)) this.#add(run);
    this.#write();
  }

  /** Shows the values at a step; the newest values if it is undefined. */
  pointAt(step: number | undefined): void {
    if (step === this.#step) return;
    this.#step = step;
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    requestAnimationFrame(() => {
      this.#isScheduled = false;
      this.#write();
    });
  }

  #add({ run: { name }, slot }: ChosenRun): void {
    const number = () => make('td', { class: 'number' });
    const cells = {
      step: number(),
      loss: number(),
      accuracy: number(),
      evaluated: number(),
      speed: number(),
    };
    const remove = make('button', { type: 'button', 'aria-label': `Remove ${name}` }, '×');
    remove.addEventListener('click', () => this.#drop(name));
    const note = make('span', { class: 'problem' });
    const element = make(
      'tr',
      {},
      make('th', { scope: 'row' }, swatch(slot), make('span', { class: 'name' }, name), note),
      ...Object.values(cells),
      make('td', {}, remove),
    );
    this.#rows.set(name, { element, cells, note });
    this.#body.append(element);
  }

  #write(): void {
    for (const { run, curve } of this.#runs) {
      const row = this.#rows.get(run.name);
      if (row === undefined) continue;
      const index = curve?.indexAt(this.#step) ?? -1;
      const { cells } = row;
      setText(row.note, curve?.problem ?? '');
      const step = curve?.columns.step[index];
      setText(cells.step, step === undefined ? '–' : count(step));
      setText(cells.loss, loss(curve?.columns.smoothLoss[index]));
      setText(cells.accuracy, percent(curve?.columns.smoothAccuracy[index]));
      setText(cells.speed, short(curve?.columns.smoothSpeed[index]));
      setText(cells.evaluated, percent(curve?.evaluationAt(this.#step)?.[2]));
    }
  }
}

/** A piece of a run's line. */
export function swatch(slot: number): HTMLElement {
  const { colour, isDashed } = lookOf(slot);
  const kind = isDashed ? 'swatch dashed' : 'swatch';
  return make('i', { class: `${kind} run-${colour}`, 'aria-hidden': 'true' });
}
