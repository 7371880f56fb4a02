import { find, make, paintPicture, setCount, setText } from './dom.ts';
import type { Link } from './follower.ts';
import { count, percent } from './format.ts';
import { INK_CELLS, PEN_CELLS } from './page-limits.ts';
import { probabilities } from '../../shared/digit/network.ts';
import { normalise, type Picture } from '../../shared/digit/normalise.ts';
import { Ink } from './ink.ts';
import { Pen } from './pen.ts';
import type { RunState } from './run-state.ts';
import { predictionObstacle, type WeightSource } from './weights.ts';

/** The drawing area and the model's prediction. */
export interface Drawing {
  show(state: RunState, link: Link): void;
  /** Shows the prediction for a picture that the user chose instead of drawing one. */
  choose(picture: Picture): void;
}

export function mountDrawing(weights: WeightSource): Drawing {
  const parts = {
    pad: find('pad', HTMLCanvasElement),
    seen: find('seen', HTMLCanvasElement),
    note: find('draw-note', HTMLElement),
    answer: find('answer', HTMLElement),
  };
  const bars = new Bars(find('probabilities', HTMLOListElement));
  const ink = new Ink(INK_CELLS);
  let state: RunState | undefined;
  let picture: Picture | undefined;
  let canAsk = false;
  let isScheduled = false;

  const answer = () => {
    if (state === undefined) return;
    const { model, classNames } = state.view;
    bars.setClasses(model.classes, classNames);
    const { current } = weights;
    const obstacle =
      picture === undefined
        ? 'Draw in the square.'
        : predictionObstacle(model, current?.values.length, picture.pixels.length);
    if (picture === undefined || current === undefined || obstacle !== undefined) {
      bars.clear();
      setText(parts.answer, obstacle ?? '');
      return;
    }
    const found = probabilities(model, current.values, picture.pixels);
    const best = found.indexOf(found.reduce((a, b) => Math.max(a, b), 0));
    bars.show(found, best);
    setText(
      parts.note,
      `Prediction with the weights after step ${count(current.step)}, computed in this browser.`,
    );
    // The text omits the probability, because screen readers announce every change.
    setText(parts.answer, `The model reads ${classNames[best] ?? best}`);
  };
  const ask = async () => {
    answer();
    if (!canAsk || picture === undefined) return;
    const before = weights.current;
    await weights.refresh();
    if (weights.current !== before) answer();
  };
  const see = () => {
    if (state === undefined) return;
    const { rows, columns } = state.view;
    const drawn = { rows: ink.side, columns: ink.side, pixels: ink.cells };
    paintPicture(parts.pad, drawn);
    picture = ink.isEmpty ? undefined : normalise(drawn, rows, columns);
    paintPicture(
      parts.seen,
      picture ?? { rows, columns, pixels: new Float32Array(rows * columns) },
    );
    void ask();
  };
  const soon = () => {
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      see();
    });
  };
  const clear = () => {
    ink.clear();
    see();
  };
  const pen = new Pen(parts.pad, {
    line: (x1, y1, x2, y2) => {
      ink.stroke(x1 * INK_CELLS, y1 * INK_CELLS, x2 * INK_CELLS, y2 * INK_CELLS, PEN_CELLS);
      soon();
    },
    lifted: see,
    cleared: clear,
  });
  find('clear', HTMLButtonElement).addEventListener('click', () => {
    pen.lift();
    clear();
  });

  return {
    show: (next, link) => {
      const isFirst = state === undefined;
      state = next;
      // No weights exist before the first step, and none are served after the end.
      canAsk = (link === 'live' || link === 'directory') && next.status.step > 0;
      if (isFirst) see();
      // The prediction is updated as training progresses.
      else if (picture !== undefined) void ask();
    },
    choose: (chosen) => {
      ink.clear();
      picture = chosen;
      paintPicture(parts.pad, chosen);
      paintPicture(parts.seen, chosen);
      void ask();
      parts.answer.scrollIntoView({ block: 'nearest' });
    },
  };
}

/** One bar per class. */
class Bars {
  readonly #list: HTMLElement;
  readonly #rows: HTMLLIElement[] = [];
  readonly #names: HTMLElement[] = [];
  readonly #bars: HTMLElement[] = [];
  readonly #texts: HTMLElement[] = [];

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  setClasses(classes: number, names: readonly string[]): void {
    setCount(this.#list, this.#rows, classes, () => this.#make(this.#rows.length));
    for (const [index, element] of this.#names.slice(0, classes).entries())
      setText(element, names[index] ?? String(index));
  }

  show(probabilities: Float64Array, best: number): void {
    for (const [index, probability] of probabilities.entries()) {
      const [row, bar, text] = [this.#rows[index], this.#bars[index], this.#texts[index]];
      if (row === undefined || bar === undefined || text === undefined) continue;
      row.classList.toggle('best', index === best);
      bar.style.width = `${probability * 100}%`;
      setText(text, percent(probability, 1));
    }
  }

  clear(): void {
    for (const row of this.#rows) row.classList.remove('best');
    for (const bar of this.#bars) bar.style.width = '0';
    for (const text of this.#texts) setText(text, '');
  }

  #make(index: number): HTMLLIElement {
    const [name, bar, text] = [
      make('span', { class: 'name' }),
      make('i'),
      make('span', { class: 'number' }),
    ];
    this.#names[index] = name;
    this.#bars[index] = bar;
    this.#texts[index] = text;
    return make('li', {}, name, make('span', { class: 'bar', 'aria-hidden': 'true' }, bar), text);
  }
}
