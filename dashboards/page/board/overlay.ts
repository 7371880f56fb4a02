import uPlot from 'uplot';
import { colour, setAttribute } from '../dom.ts';
import { CHART_HEIGHT_PIXELS, stepAxis, valueAxis } from '../plot/axes.ts';
import { firstFrom } from '../plot/first-from.ts';
import type { Zoom } from '../plot/zoom.ts';
import { MAX_DOTS } from './board-limits.ts';
import { lookOf, type ChosenRun } from './board-state.ts';
import type { Quantity, RunCurve } from './run-curve.ts';

const SYNC_KEY = 'steps';
/** The opacity of the extremes behind a smooth line, and of those of many runs. */
const FAINT = 0.22;
const FAINTER = 0.1;
const MANY_RUNS = 4;
/** An arrow key moves the cursor by this fraction of the shown range. */
const STRIDE = 1 / 100;

export interface OverlaySpec {
  readonly quantity: Quantity;
  /** The value of an evaluation that is drawn as a point; undefined for none. */
  readonly evaluated: (evaluation: RunCurve['evaluations'][number]) => number | undefined;
  /** The shown range, given the lowest and highest smooth values and evaluations in it. */
  readonly range: (low: number, high: number, isLogarithmic: boolean) => [number, number];
  readonly tick: (value: number) => string;
  /** One sentence for screen readers. */
  readonly describe: (runs: readonly ShownRun[]) => string;
}

/** A chosen run whose curve is there. */
export interface ShownRun extends ChosenRun {
  readonly curve: RunCurve;
}

/** The curves of several runs over each other, drawn from their columns. */
export class Overlay {
  readonly #box: HTMLElement;
  readonly #spec: OverlaySpec;
  readonly #zoom: Zoom;
  readonly #pointed: (step: number | undefined) => void;
  #plot: uPlot | undefined;
  #runs: readonly ShownRun[] = [];
  #isLogarithmic: boolean;
  #values: readonly [number, number] = [0, 1];

  /** `pointed` is called with the step at the cursor; undefined if it has left the chart. */
  constructor(
    box: HTMLElement,
    spec: OverlaySpec,
    zoom: Zoom,
    pointed: (step: number | undefined) => void,
    isLogarithmic = false,
  ) {
    this.#box = box;
    this.#spec = spec;
    this.#zoom = zoom;
    this.#pointed = pointed;
    this.#isLogarithmic = isLogarithmic;
    new ResizeObserver(() => this.#resize()).observe(box);
    box.addEventListener('keydown', (event) => this.#takeKey(event));
    box.addEventListener('blur', () => pointAt(() => -10));
  }

  /** Draws immediately, so call this at most once per frame. */
  draw(runs: readonly ShownRun[]): void {
    this.#runs = runs;
    const isEmpty = runs.length === 0;
    this.#box.classList.toggle('none', isEmpty);
    setAttribute(this.#box, 'aria-label', this.#spec.describe(runs));
    if (isEmpty) return this.#remove();
    this.#values = this.#shownValues();
    if (this.#plot === undefined) return this.#make();
    this.#plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#plot.setData(this.#data());
  }

  /** Redraws with the current colours. */
  repaint(): void {
    this.#plot?.redraw(false, true);
  }

  set isLogarithmic(isLogarithmic: boolean) {
    this.#isLogarithmic = isLogarithmic;
    this.#remove();
    this.draw(this.#runs);
  }

  get #lastStep(): number {
    return Math.max(1, ...this.#runs.map(({ curve }) => curve.lastStep));
  }

  #remove(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  #make(): void {
    const width = this.#box.clientWidth;
    if (width > 0) this.#plot = new uPlot(this.#options(width), this.#data(), this.#box);
  }

  /** uPlot draws only the axes: each run has its own steps. */
  #data(): uPlot.AlignedData {
    return [
      [0, this.#lastStep],
      [null, null],
    ];
  }

  #options(width: number): uPlot.Options {
    return {
      width,
      height: CHART_HEIGHT_PIXELS,
      legend: { show: false },
      padding: [8, 18, 0, 0],
      cursor: { ...this.#zoom.cursor(SYNC_KEY), points: { show: false } },
      scales: {
        x: { time: false, range: () => [...this.#zoom.range(this.#lastStep)] },
        y: { distr: this.#isLogarithmic ? 3 : 1, range: () => [...this.#values] },
      },
      axes: [stepAxis(() => 'step'), valueAxis(this.#isLogarithmic, this.#spec.tick)],
      series: [{}, {}],
      hooks: {
        draw: [(plot) => this.#paint(plot)],
        setSelect: [this.#zoom.selected],
        setCursor: [(plot) => this.#pointed(stepAt(plot))],
      },
    };
  }

  /** The range of the values among the shown steps. */
  #shownValues(): [number, number] {
    const [from, to] = this.#zoom.range(this.#lastStep);
    let [low, high] = [Infinity, -Infinity];
    const look = (value: number | undefined) => {
      if (value === undefined || !Number.isFinite(value)) return;
      if (value < low) low = value;
      if (value > high) high = value;
    };
    for (const { curve } of this.#runs) {
      const values = curve.smooth(this.#spec.quantity);
      const end = Math.min(values.length, firstFrom(curve.columns.step, to) + 1);
      for (let i = firstFrom(curve.columns.step, from); i < end; i++) look(values[i]);
      for (const evaluation of curve.evaluations)
        if (evaluation[0] >= from && evaluation[0] <= to) look(this.#spec.evaluated(evaluation));
    }
    const [least, most] = high < low ? [0, 1] : [low, high];
    return this.#spec.range(least, most, this.#isLogarithmic);
  }

  #paint(plot: uPlot): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const place = this.#placeIn(bbox);
    const drawn = this.#runs.map((run) => ({
      run,
      columns: columnsOf(run, this.#spec.quantity, place),
    }));
    ctx.globalAlpha = drawn.length > MANY_RUNS ? FAINTER : FAINT;
    for (const { run, columns } of drawn) paintBand(ctx, run, columns);
    ctx.globalAlpha = 1;
    for (const { run, columns } of drawn) {
      paintLine(ctx, run, columns);
      this.#paintEvaluations(ctx, run, place);
    }
    ctx.restore();
  }

  #placeIn(bbox: uPlot.BBox): Place {
    const [from, to] = this.#zoom.range(this.#lastStep);
    const scale = this.#isLogarithmic
      ? (value: number) => Math.log10(Math.max(1e-12, value))
      : same;
    const [low, high] = [scale(this.#values[0]), scale(this.#values[1])];
    const perStep = bbox.width / (to - from);
    const perValue = bbox.height / (high - low);
    return {
      from,
      to,
      x: (step) => bbox.left + (step - from) * perStep,
      y: (value) => bbox.top + bbox.height - (scale(value) - low) * perValue,
    };
  }

  #paintEvaluations(ctx: CanvasRenderingContext2D, { curve, slot }: ShownRun, place: Place): void {
    const shown = curve.evaluations.filter(([step]) => step >= place.from && step <= place.to);
    if (shown.length > MAX_DOTS) return;
    ctx.fillStyle = colour(`run-${lookOf(slot).colour}`);
    ctx.strokeStyle = colour('paper');
    ctx.lineWidth = uPlot.pxRatio;
    ctx.setLineDash([]);
    for (const evaluation of shown) {
      const value = this.#spec.evaluated(evaluation);
      if (value === undefined) continue;
      ctx.beginPath();
      ctx.arc(place.x(evaluation[0]), place.y(value), 3.5 * uPlot.pxRatio, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
  }

  /**
   * The arrow keys, Home and End move the cursor; + and - zoom around it, and 0 or Escape shows all
   * steps.
   */
  #takeKey(event: KeyboardEvent): void {
    const plot = this.#plot;
    if (plot === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const [from, to] = this.#zoom.range(this.#lastStep);
    const at = stepAt(plot);
    const stride = Math.max(1, (to - from) * STRIDE);
    const targets: Readonly<Record<string, number>> = {
      ArrowLeft: (at ?? to) - stride,
      ArrowRight: (at ?? from) + stride,
      Home: from,
      End: to,
    };
    const target = targets[event.key];
    if (target !== undefined) {
      const step = Math.min(to, Math.max(from, target));
      pointAt((each) => each.valToPos(step, 'x'));
    } else if (!this.#zoom.take(event.key, this.#lastStep, at)) return;
    event.preventDefault();
  }

  #resize(): void {
    const width = this.#box.clientWidth;
    if (width === 0 || this.#runs.length === 0) return;
    if (this.#plot === undefined) this.#make();
    else if (this.#plot.width !== width) this.#plot.setSize({ width, height: CHART_HEIGHT_PIXELS });
  }
}

/** Where steps and values are drawn, in pixels of the canvas. */
interface Place {
  readonly from: number;
  readonly to: number;
  readonly x: (step: number) => number;
  readonly y: (value: number) => number;
}

/** One entry for each column of pixels that a curve crosses. */
interface Columns {
  readonly x: number[];
  /** The smooth value. */
  readonly y: number[];
  readonly top: number[];
  readonly bottom: number[];
}

/**
 * Merges the points that share a column of pixels, so that a chart draws the same number of lines
 * however many points a curve has.
 */
function columnsOf({ curve }: ShownRun, quantity: Quantity, place: Place): Columns {
  const { step } = curve.columns;
  const smooth = curve.smooth(quantity);
  const { low, high } = curve.band(quantity);
  const columns: Columns = { x: [], y: [], top: [], bottom: [] };
  // The points just outside of the range are drawn as well, for the lines to and from them.
  const start = Math.max(0, firstFrom(step, place.from) - 1);
  const end = Math.min(step.length, firstFrom(step, place.to) + 2);
  let last = -1;
  for (let i = start; i < end; i++) {
    const x = Math.round(place.x(step[i] ?? 0));
    const [y, top, bottom] = [smooth[i] ?? NaN, high[i] ?? NaN, low[i] ?? NaN].map(place.y);
    if (y === undefined || top === undefined || bottom === undefined) continue;
    if (last >= 0 && columns.x[last] === x) {
      columns.y[last] = y;
      columns.top[last] = Math.min(columns.top[last] ?? top, top);
      columns.bottom[last] = Math.max(columns.bottom[last] ?? bottom, bottom);
      continue;
    }
    columns.x.push(x);
    columns.y.push(y);
    columns.top.push(top);
    columns.bottom.push(bottom);
    last += 1;
  }
  return columns;
}

/** The area between the extremes; at least one pixel high, also where they are equal. */
function paintBand(ctx: CanvasRenderingContext2D, { slot }: ShownRun, columns: Columns): void {
  ctx.fillStyle = colour(`run-${lookOf(slot).colour}`);
  ctx.beginPath();
  for (const [i, x] of columns.x.entries()) ctx.lineTo(x, (columns.top[i] ?? 0) - 0.5);
  for (let i = columns.x.length - 1; i >= 0; i--)
    ctx.lineTo(columns.x[i] ?? 0, (columns.bottom[i] ?? 0) + 0.5);
  ctx.fill();
}

function paintLine(ctx: CanvasRenderingContext2D, { slot }: ShownRun, columns: Columns): void {
  const { colour: number, isDashed } = lookOf(slot);
  ctx.strokeStyle = colour(`run-${number}`);
  ctx.lineWidth = 2 * uPlot.pxRatio;
  // Round joins take most of the time of a frame.
  ctx.lineJoin = 'bevel';
  ctx.setLineDash(isDashed ? [6 * uPlot.pxRatio, 4 * uPlot.pxRatio] : []);
  ctx.beginPath();
  for (const [i, x] of columns.x.entries()) ctx.lineTo(x, columns.y[i] ?? 0);
  ctx.stroke();
}

function same(value: number): number {
  return value;
}

/** The step at the cursor; undefined if there is none. */
function stepAt(plot: uPlot): number | undefined {
  const { left } = plot.cursor;
  return left === undefined || left < 0 ? undefined : Math.round(plot.posToVal(left, 'x'));
}

/** Moves the cursor in all charts; `place` returns its distance from the left edge. */
function pointAt(place: (plot: uPlot) => number): void {
  for (const plot of uPlot.sync(SYNC_KEY).plots) plot.setCursor({ left: place(plot), top: 0 });
}
