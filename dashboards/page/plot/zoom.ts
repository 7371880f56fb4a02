import type uPlot from 'uplot';

/** A selection that is narrower than this is a click. */
const MIN_DRAG_PIXELS = 4;
/** The narrowest range, in steps. */
const MIN_STEPS = 2;
/** By how much a key narrows or widens the range. */
const FACTOR = 2;

export type StepRange = readonly [from: number, to: number];

/**
 * The range of steps that several charts show. Dragging chooses a range, and a double click shows
 * all steps again; the keys are + and - around the cursor, and 0 or Escape.
 */
export class Zoom {
  readonly #changed: () => void;
  #range: StepRange | undefined;

  /** `changed` is called after each change. */
  constructor(changed: () => void) {
    this.#changed = changed;
  }

  get isActive(): boolean {
    return this.#range !== undefined;
  }

  /** The shown range of a chart whose last step is `last`. */
  range(last: number): StepRange {
    const [from, to] = this.#range ?? [0, last];
    // Another run, with fewer steps, may be shown by now.
    return from >= last ? [0, Math.max(1, last)] : [from, Math.max(from + 1, Math.min(to, last))];
  }

  set(from: number, to: number): void {
    const middle = (from + to) / 2;
    const half = Math.max(MIN_STEPS, to - from) / 2;
    this.#range = [Math.max(0, middle - half), middle + half];
    this.#changed();
  }

  reset(): void {
    if (this.#range === undefined) return;
    this.#range = undefined;
    this.#changed();
  }

  /** Narrows the range around a step, or widens it if `factor` is above 1. */
  scale(factor: number, last: number, around?: number): void {
    const [from, to] = this.range(last);
    const centre = around ?? (from + to) / 2;
    const wider = (to - from) * factor;
    if (wider >= last) return this.reset();
    const left = Math.min(Math.max(0, centre - (centre - from) * factor), last - wider);
    this.set(left, left + wider);
  }

  /** Handles a key; returns whether it did. */
  take(key: string, last: number, around?: number): boolean {
    switch (key) {
      case '+':
      case '=':
        this.scale(1 / FACTOR, last, around);
        return true;
      case '-':
        this.scale(FACTOR, last, around);
        return true;
      case '0':
      case 'Escape':
        this.reset();
        return true;
      default:
        return false;
    }
  }

  /** The settings of a chart's cursor; `sync` joins the cursors of charts with the same key. */
  cursor(sync: string): uPlot.Cursor {
    return {
      y: false,
      drag: { x: true, y: false, setScale: false, dist: MIN_DRAG_PIXELS },
      sync: {
        key: sync,
        // The other charts follow the cursor and the range, but not the mouse button.
        filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave' },
      },
      bind: {
        dblclick: () => () => {
          this.reset();
          return null;
        },
      },
    };
  }

  /** The hook for a selection: makes it the range. */
  readonly selected = (plot: uPlot): void => {
    const { left, width } = plot.select;
    if (width < MIN_DRAG_PIXELS) return;
    const range = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')] as const;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.set(...range);
  };
}
