import uPlot from 'uplot';
import type { CurveColumns } from '../curve-columns.ts';
import { setAttribute, type Colour, colour } from '../dom.ts';
import { CHART_HEIGHT_PIXELS, stepAxis, valueAxis } from './axes.ts';
import { firstFrom } from './first-from.ts';
import type { StepRange, Zoom } from './zoom.ts';
import type { RunState } from '../run-state.ts';

/** All charts share this key, which synchronizes their cursors. */
const SYNC_KEY = 'steps';
const MAX_EPOCH_LINES = 12;
/** What a chart shows. The x axis is always the step. */
export interface ChartSpec {
  readonly series: readonly {
    readonly values: (columns: CurveColumns) => Float64Array;
    readonly colour: Colour;
    readonly width: number;
  }[];
  /** Points drawn over the curves: [step, value]. */
  readonly points: (state: RunState) => readonly (readonly [step: number, value: number])[];
  /** The shown values; `steps` is the shown range, or undefined if all steps are shown. */
  readonly range: (
    state: RunState,
    isLogarithmic: boolean,
    steps: StepRange | undefined,
  ) => readonly [low: number, high: number];
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
  readonly #zoom: Zoom;
  #isLogarithmic: boolean;

  constructor(box: HTMLElement, spec: ChartSpec, zoom: Zoom, isLogarithmic = false) {
    this.#box = box;
    this.#zoom = zoom;
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
    else {
      this.#plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.#plot.setData(this.#data(state));
    }
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
    return {
      width,
      height: CHART_HEIGHT_PIXELS,
      legend: { show: false },
      padding: [8, 18, 0, 0],
      cursor: { ...this.#zoom.cursor(SYNC_KEY), points: { size: 7, width: 0 } },
      scales: {
        x: { time: false, range: () => [...this.#zoom.range(this.#lastStep())] },
        y: { distr: this.#isLogarithmic ? 3 : 1, range: () => this.#range() },
      },
      axes: [stepAxis(() => this.#stepsText()), valueAxis(this.#isLogarithmic, this.#spec.tick)],
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
        setSelect: [this.#zoom.selected],
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
      this.#state === undefined
        ? [0, 1]
        : this.#spec.range(
            this.#state,
            this.#isLogarithmic,
            this.#zoom.isActive ? this.#zoom.range(this.#lastStep()) : undefined,
          );
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
    saveClipped(plot);
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
    saveClipped(plot);
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
   * point that is shown. The keys + and - zoom around the cursor, and 0 or Escape shows all steps.
   */
  #moveCursor(event: KeyboardEvent): void {
    const plot = this.#plot;
    const steps = this.#state?.curve.columns().step;
    if (plot === undefined || steps === undefined || steps.length === 0) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const idx = plot.cursor.idx ?? undefined;
    const pointed = idx === undefined ? undefined : steps[idx];
    if (this.#zoom.take(event.key, this.#lastStep(), pointed)) return event.preventDefault();
    const [from, to] = this.#zoom.range(this.#lastStep());
    const first = Math.min(firstFrom(steps, from), steps.length - 1);
    const last = Math.min(firstFrom(steps, to), steps.length - 1);
    const stride = Math.max(1, Math.round((last - first) / 100));
    const at = idx ?? last;
    const targets: Readonly<Record<string, number>> = {
      ArrowLeft: at - stride,
      ArrowRight: at + stride,
      Home: first,
      End: last,
    };
    const target = targets[event.key];
    if (target === undefined) return;
    event.preventDefault();
    const step = steps[Math.min(last, Math.max(first, target))] ?? 0;
    pointAt((each) => each.valToPos(step, 'x'));
  }

  #resize(): void {
    const width = this.#box.clientWidth;
    if (width === 0 || this.#state === undefined || this.#state.curve.length === 0) return;
    if (this.#plot === undefined) this.#make(this.#state);
    else if (this.#plot.width !== width) this.#plot.setSize({ width, height: CHART_HEIGHT_PIXELS });
  }
}

/** Saves the canvas's state, and then clips to the area of the curves. */
function saveClipped({ ctx, bbox }: uPlot): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
}

/**
 * Moves the cursor in all charts; `place` returns its distance from the left edge in CSS pixels.
 */
function pointAt(place: (plot: uPlot) => number): void {
  for (const plot of uPlot.sync(SYNC_KEY).plots) plot.setCursor({ left: place(plot), top: 0 });
}
