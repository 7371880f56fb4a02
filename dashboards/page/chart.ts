import uPlot from 'uplot';
import type { CurveColumns } from './curve-columns.ts';
import { setAttribute, type Colour, colour } from './dom.ts';
import { decades, tick } from './format.ts';
import type { RunState } from './run-state.ts';

const HEIGHT_PIXELS = 236;
/** All charts share this key, which synchronizes their cursors. */
const SYNC_KEY = 'steps';
const MAX_EPOCH_LINES = 12;
/** Candidate distances between labelled steps, all of them integers. */
const WHOLE_STEPS = Array.from({ length: 9 }, (_, power) =>
  [1, 2, 5].map((factor) => factor * 10 ** power),
).flat();
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';

/** What a chart shows. The x axis is always the step. */
export interface ChartSpec {
  readonly series: readonly {
    readonly values: (columns: CurveColumns) => Float64Array;
    readonly colour: Colour;
    readonly width: number;
  }[];
  /** Points drawn over the curves: [step, value]. */
  readonly points: (state: RunState) => readonly (readonly [step: number, value: number])[];
  readonly range: (state: RunState, isLogarithmic: boolean) => readonly [low: number, high: number];
  /** Formats a y-axis label. */
  readonly tick: (value: number) => string;
  /** One sentence for screen readers. */
  readonly describe: (state: RunState) => string;
  /** Shows the values at an index, or the newest values if `index` is undefined. */
  readonly read: (state: RunState, index: number | undefined) => void;
}

/** A chart that adapts to the width of its box. */
export class Chart {
  readonly #box: HTMLElement;
  readonly #spec: ChartSpec;
  #plot: uPlot | undefined;
  #state: RunState | undefined;
  #isLogarithmic: boolean;

  constructor(box: HTMLElement, spec: ChartSpec, isLogarithmic = false) {
    this.#box = box;
    this.#isLogarithmic = isLogarithmic;
    this.#spec = spec;
    new ResizeObserver(() => this.#resize()).observe(box);
    box.addEventListener('keydown', (event) => this.#moveCursor(event));
    box.addEventListener('blur', () => pointAt(() => -10));
  }

  /** Draws immediately, so call this at most once per frame. */
  draw(state: RunState): void {
    this.#state = state;
    const isEmpty = state.curve.length === 0;
    this.#box.classList.toggle('none', isEmpty);
    if (isEmpty) this.#remove();
    else if (this.#plot === undefined) this.#make(state);
    else this.#plot.setData(this.#data(state));
    setAttribute(this.#box, 'aria-label', this.#spec.describe(state));
    this.#read();
  }

  /** Redraws with the current colours. */
  repaint(): void {
    this.#plot?.redraw(false, true);
  }

  set isLogarithmic(isLogarithmic: boolean) {
    this.#isLogarithmic = isLogarithmic;
    this.#remove();
    if (this.#state !== undefined) this.draw(this.#state);
  }

  #remove(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
  }

  #make(state: RunState): void {
    const width = this.#box.clientWidth;
    if (width === 0) return;
    this.#plot = new uPlot(this.#options(width), this.#data(state), this.#box);
  }

  #data(state: RunState): uPlot.AlignedData {
    const columns = state.curve.columns();
    return [columns.step, ...this.#spec.series.map(({ values }) => values(columns))];
  }

  #options(width: number): uPlot.Options {
    const axis: uPlot.Axis = {
      stroke: () => colour('muted'),
      grid: { stroke: () => colour('line'), width: 1 },
      ticks: { show: false },
      font: FONT,
      gap: 6,
    };
    return {
      width,
      height: HEIGHT_PIXELS,
      legend: { show: false },
      padding: [8, 18, 0, 0],
      cursor: {
        y: false,
        drag: { x: false, y: false },
        sync: { key: SYNC_KEY },
        points: { size: 7, width: 0 },
      },
      scales: {
        x: { time: false, range: () => [0, Math.max(1, this.#lastStep())] },
        y: { distr: this.#isLogarithmic ? 3 : 1, range: () => this.#range() },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 70,
          size: 24,
          incrs: WHOLE_STEPS,
          label: () => this.#stepsText(),
          labelFont: FONT,
          labelSize: 18,
          labelGap: 2,
          values: (_, splits) => splits.map(tick),
        },
        {
          ...axis,
          size: 46,
          space: 34,
          ...(this.#isLogarithmic
            ? { splits: (_, __, low, high) => decades(low, high), filter: keepAll }
            : {}),
          values: (_, splits) => splits.map((value) => this.#spec.tick(value)),
        },
      ],
      series: [
        {},
        ...this.#spec.series.map(({ colour: name, width }) => ({
          stroke: () => colour(name),
          width,
          points: { show: false },
        })),
      ],
      hooks: {
        drawClear: [(plot) => this.#drawEpochs(plot)],
        draw: [(plot) => this.#drawPoints(plot)],
        setCursor: [() => this.#read()],
      },
    };
  }

  #lastStep(): number {
    const state = this.#state;
    return state === undefined
      ? 1
      : Math.max(state.curve.lastStep, state.evaluations.at(-1)?.[0] ?? 0);
  }

  #range(): uPlot.Range.MinMax {
    const [low, high] =
      this.#state === undefined ? [0, 1] : this.#spec.range(this.#state, this.#isLogarithmic);
    return [low, high];
  }

  /**
   * Draws a thin line at the end of each epoch, or of every few epochs if the lines would be too
   * close to each other.
   */
  #drawEpochs(plot: uPlot): void {
    const state = this.#state;
    if (state === undefined) return;
    const every = this.#epochsPerLine() * state.view.stepsPerEpoch;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = colour('line');
    ctx.lineWidth = uPlot.pxRatio * 2;
    ctx.beginPath();
    for (let step = every; step < this.#lastStep(); step += every) {
      const x = plot.valToPos(step, 'x', true);
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
    }
    ctx.stroke();
    ctx.restore();
  }

  #epochsPerLine(): number {
    return Math.max(
      1,
      Math.ceil(this.#lastStep() / (this.#state?.view.stepsPerEpoch ?? 1) / MAX_EPOCH_LINES),
    );
  }

  #stepsText(): string {
    const epochs = this.#epochsPerLine();
    return `step; one line every ${epochs === 1 ? 'epoch' : `${epochs} epochs`}`;
  }

  #drawPoints(plot: uPlot): void {
    const state = this.#state;
    if (state === undefined) return;
    const points = this.#spec.points(state);
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = colour('ink');
    ctx.fillStyle = colour('ink');
    ctx.lineWidth = uPlot.pxRatio * 1.5;
    ctx.beginPath();
    for (const [step, value] of points)
      ctx.lineTo(plot.valToPos(step, 'x', true), plot.valToPos(value, 'y', true));
    ctx.stroke();
    if (points.length <= 100) {
      for (const [step, value] of points) {
        ctx.beginPath();
        const [x, y] = [plot.valToPos(step, 'x', true), plot.valToPos(value, 'y', true)];
        ctx.arc(x, y, 3 * uPlot.pxRatio, 0, 2 * Math.PI);
        ctx.fill();
      }
    }
    ctx.restore();
  }

  #read(): void {
    if (this.#state !== undefined)
      this.#spec.read(this.#state, this.#plot?.cursor.idx ?? undefined);
  }

  /**
   * The arrow keys move the cursor along the curve; Home and End go to the first and the last
   * point.
   */
  #moveCursor(event: KeyboardEvent): void {
    const plot = this.#plot;
    const steps = this.#state?.curve.columns().step;
    if (plot === undefined || steps === undefined || steps.length === 0) return;
    const last = steps.length - 1;
    const stride = Math.max(1, Math.round(last / 100));
    const at = plot.cursor.idx ?? last;
    const targets: Readonly<Record<string, number>> = {
      ArrowLeft: at - stride,
      ArrowRight: at + stride,
      Home: 0,
      End: last,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    const step = steps[Math.min(last, Math.max(0, target))] ?? 0;
    pointAt((each) => each.valToPos(step, 'x'));
  }

  #resize(): void {
    const width = this.#box.clientWidth;
    if (width === 0 || this.#state === undefined || this.#state.curve.length === 0) return;
    if (this.#plot === undefined) this.#make(this.#state);
    else if (this.#plot.width !== width) this.#plot.setSize({ width, height: HEIGHT_PIXELS });
  }
}

/** By default, uPlot omits some labels on a logarithmic axis. */
function keepAll(_: uPlot, splits: number[]): number[] {
  return splits;
}

/**
 * Moves the cursor in all charts; `place` returns its distance from the left edge in CSS pixels.
 */
function pointAt(place: (plot: uPlot) => number): void {
  for (const plot of uPlot.sync(SYNC_KEY).plots) plot.setCursor({ left: place(plot), top: 0 });
}
