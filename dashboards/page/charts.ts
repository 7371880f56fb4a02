import type { StepValue } from '../feed/api.ts';
import { Chart, type ChartSpec } from './plot/chart.ts';
import type { CurveColumns } from './curve-columns.ts';
import { find, make, setText, onThemeChange } from './dom.ts';
import { count, loss, percent, short, significant, tick } from './format.ts';
import { firstFrom } from './plot/first-from.ts';
import { Zoom, type StepRange } from './plot/zoom.ts';
import type { RunState } from './run-state.ts';

/**
 * The share of points at the start that an axis ignores when it chooses its range. Values outside
 * the range are clipped.
 */
const START = 0.04;

interface Drawn {
  readonly state: RunState;
  readonly length: number;
  readonly step: number;
  readonly evaluations: unknown;
  readonly gradientNorms: unknown;
}

/**
 * Creates the charts of the loss, of the accuracy and of a third value that can be chosen. Returns
 * the function that draws them.
 */
export function mountCharts(): (state: RunState) => void {
  let drawn: Drawn | undefined;
  const zoom = new Zoom(() => zoomed());
  const loss = new Chart(plotOf('loss-chart'), lossSpec(keyOf('loss-chart', true)), zoom, true);
  const accuracyKey = keyOf('accuracy-chart', true);
  const accuracy = new Chart(plotOf('accuracy-chart'), accuracySpec(accuracyKey), zoom);
  const third = mountThird(zoom, () => draw());
  const charts = [loss, accuracy, third];
  const draw = (): void => {
    if (drawn !== undefined) for (const chart of charts) chart.draw(drawn.state);
  };
  const zoomed = mountZoom(zoom, () => {
    draw();
    return drawn?.step ?? 1;
  });
  const scale = find('loss-scale', HTMLButtonElement);
  scale.addEventListener('click', () => {
    const isLogarithmic = scale.getAttribute('aria-pressed') !== 'true';
    scale.setAttribute('aria-pressed', String(isLogarithmic));
    loss.isLogarithmic = isLogarithmic;
  });
  onThemeChange(() => charts.forEach((chart) => chart.repaint()));
  return (state) => {
    const { curve, evaluations, gradientNorms } = state;
    const now = { state, length: curve.length, step: curve.lastStep, evaluations, gradientNorms };
    const isSame =
      drawn?.state === state &&
      drawn.step === now.step &&
      drawn.length === now.length &&
      drawn.evaluations === evaluations &&
      drawn.gradientNorms === gradientNorms;
    if (isSame) return;
    drawn = now;
    draw();
  };
}

/** The third chart, whose value can be chosen; `redraw` is called after a choice. */
function mountThird(zoom: Zoom, redraw: () => void): Pick<Chart, 'draw' | 'repaint'> {
  const choice = find('third', HTMLSelectElement);
  const key = keyOf('third-chart', false);
  const chartOf = (value: string, specOf: (show: Key) => ChartSpec) => {
    const plot = find(`${value}-plot`, HTMLElement);
    // The cursor of a chart that is hidden moves with the others.
    const show: Key = (...texts) => {
      if (choice.value === value) key(...texts);
    };
    return { value, plot, chart: new Chart(plot, specOf(show), zoom) };
  };
  const all = [
    chartOf('speed', speedSpec),
    chartOf('rate', (show) => pointsSpec('Learning rate', ratesOf, show)),
    chartOf('norm', (show) => pointsSpec('Gradient norm', normsOf, show)),
  ];
  const choose = (): void => {
    for (const { value, plot } of all) plot.hidden = value !== choice.value;
  };
  choice.addEventListener('change', () => {
    choose();
    redraw();
  });
  // A browser may restore the choice of an earlier visit.
  choose();
  const shown = () => all.filter(({ value }) => value === choice.value);
  return {
    draw: (state) => shown().forEach(({ chart }) => chart.draw(state)),
    repaint: () => all.forEach(({ chart }) => chart.repaint()),
  };
}

/**
 * Shows the chosen range, with a button that leaves it. Returns the function to call when the range
 * changes. `draw` draws the charts and returns the last step.
 */
function mountZoom(zoom: Zoom, draw: () => number): () => void {
  const note = find('zoom-note', HTMLElement);
  const reset = find('zoom-reset', HTMLButtonElement);
  reset.addEventListener('click', () => {
    zoom.reset();
    // The button vanishes, and with it the focus.
    plotOf('loss-chart').focus();
  });
  let isScheduled = false;
  return () => {
    if (isScheduled) return;
    isScheduled = true;
    requestAnimationFrame(() => {
      isScheduled = false;
      const [from, to] = zoom.range(draw()).map(Math.round);
      reset.hidden = !zoom.isActive;
      setText(note, zoom.isActive ? `Steps ${count(from)} to ${count(to)}` : '');
    });
  };
}

type Key = (at: string, training: string, evaluated: string, set: string) => void;

function lossSpec(show: Key): ChartSpec {
  return {
    series: [
      { values: ({ loss }) => loss, colour: 'accent-soft', width: 1 },
      { values: ({ smoothLoss }) => smoothLoss, colour: 'accent', width: 2 },
    ],
    points: ({ evaluations }) => evaluations.map(([step, value]) => [step, value]),
    range: (state, isLogarithmic, steps) => {
      const { loss, smoothLoss } = shownColumns(state, steps);
      const points = shownEvaluations(state, steps).map(([, value]) => value);
      if (steps !== undefined) return around(extent(smoothLoss, points), isLogarithmic);
      const [low, high] = extent(smoothLoss, points);
      if (isLogarithmic)
        return [Math.max(1e-6, low / 3), Math.max(extent(loss, points)[1], low * 2)];
      return [0, high * 1.05];
    },
    tick,
    describe: (state) =>
      `Loss over ${count(state.curve.lastStep)} steps: training ` +
      `${loss(state.curve.lastSmoothLoss)}, ${state.view.evaluatedSet} ` +
      `${loss(state.evaluations.at(-1)?.[1])}.`,
    read: (state, index) => {
      const { step, smoothLoss } = state.curve.columns();
      const at = index ?? step.length - 1;
      const evaluation = evaluationAt(state, index === undefined ? undefined : step[at]);
      show(
        stepText(index === undefined ? undefined : step[at]),
        loss(smoothLoss[at]),
        loss(evaluation?.[1]),
        state.view.evaluatedSet,
      );
    },
  };
}

function accuracySpec(show: Key): ChartSpec {
  return {
    series: [
      { values: ({ accuracy }) => accuracy, colour: 'accent-soft', width: 1 },
      { values: ({ smoothAccuracy }) => smoothAccuracy, colour: 'accent', width: 2 },
    ],
    points: ({ evaluations }) => evaluations.map(([step, , value]) => [step, value]),
    range: (state, _, steps) => {
      const { smoothAccuracy } = shownColumns(state, steps);
      if (steps !== undefined) {
        const points = shownEvaluations(state, steps).map(([, , value]) => value);
        return around(extent(smoothAccuracy, points), false);
      }
      const later = smoothAccuracy.subarray(Math.floor(smoothAccuracy.length * START));
      const [low] = extent(
        later,
        state.evaluations.map(([, , value]) => value),
      );
      return [Math.max(0, Math.floor((low - 0.05) * 10) / 10), 1];
    },
    tick: (value) => `${Math.round(value * 1000) / 10} %`,
    describe: (state) =>
      `Accuracy over ${count(state.curve.lastStep)} steps: training ` +
      `${percent(state.curve.lastSmoothAccuracy)}, ${state.view.evaluatedSet} ` +
      `${percent(state.evaluations.at(-1)?.[2])}.`,
    read: (state, index) => {
      const { step, smoothAccuracy } = state.curve.columns();
      const at = index ?? step.length - 1;
      const evaluation = evaluationAt(state, index === undefined ? undefined : step[at]);
      const text = stepText(index === undefined ? undefined : step[at]);
      const { evaluatedSet } = state.view;
      show(text, percent(smoothAccuracy[at]), percent(evaluation?.[2]), evaluatedSet);
    },
  };
}

function speedSpec(show: Key): ChartSpec {
  return {
    series: [
      { values: ({ samplesPerSecond }) => samplesPerSecond, colour: 'accent-soft', width: 1 },
      { values: ({ smoothSpeed }) => smoothSpeed, colour: 'accent', width: 2 },
    ],
    points: () => [],
    range: (state, _, steps) => [
      0,
      Math.max(1, extent(shownColumns(state, steps).smoothSpeed, [])[1] * 1.2),
    ],
    tick,
    describe: (state) =>
      `Samples per second over ${count(state.curve.lastStep)} steps: now ` +
      `${short(state.curve.lastSmoothSpeed)}.`,
    read: (state, index) => {
      const { step, smoothSpeed } = state.curve.columns();
      const at = index ?? step.length - 1;
      show(stepText(index === undefined ? undefined : step[at]), short(smoothSpeed[at]), '', '');
    },
  };
}

function ratesOf({ view }: RunState): readonly StepValue[] {
  return view.rates;
}

function normsOf({ gradientNorms }: RunState): readonly StepValue[] {
  return gradientNorms;
}

/** A chart of a value that is known at some steps. */
function pointsSpec(
  name: string,
  pointsOf: (state: RunState) => readonly StepValue[],
  show: Key,
): ChartSpec {
  const before = (state: RunState, step: number) =>
    pointsOf(state).findLast(([at]) => at <= step)?.[1];
  return {
    series: [],
    points: pointsOf,
    range: (state, _, steps = [0, state.curve.lastStep]) => {
      const shown = pointsOf(state).filter(([step]) => step >= steps[0] && step <= steps[1]);
      const [low, high] = extent(
        new Float64Array(),
        shown.map(([, value]) => value),
      );
      return around([low, high], false);
    },
    tick: (value) => significant(value),
    describe: (state) => `${name}: now ${significant(before(state, state.curve.lastStep))}.`,
    read: (state, index) => {
      const { step } = state.curve.columns();
      const at = index === undefined ? undefined : step[index];
      const value = before(state, at ?? state.curve.lastStep);
      show(stepText(at), value === undefined ? 'not recorded' : significant(value), '', '');
    },
  };
}

/** The part of the columns that is shown; all of them if `steps` is undefined. */
function shownColumns(
  { curve }: RunState,
  steps: StepRange | undefined,
): Pick<CurveColumns, 'loss' | 'smoothLoss' | 'smoothAccuracy' | 'smoothSpeed'> {
  const columns = curve.columns();
  if (steps === undefined) return columns;
  const from = firstFrom(columns.step, steps[0]);
  const to = firstFrom(columns.step, steps[1]) + 1;
  return {
    loss: columns.loss.subarray(from, to),
    smoothLoss: columns.smoothLoss.subarray(from, to),
    smoothAccuracy: columns.smoothAccuracy.subarray(from, to),
    smoothSpeed: columns.smoothSpeed.subarray(from, to),
  };
}

function shownEvaluations({ evaluations }: RunState, steps: StepRange | undefined) {
  if (steps === undefined) return evaluations;
  return evaluations.filter(([step]) => step >= steps[0] && step <= steps[1]);
}

/** A range with some space above and below the values. */
function around([low, high]: readonly [number, number], isLogarithmic: boolean): [number, number] {
  if (isLogarithmic) return [Math.max(1e-6, low / 1.5), Math.max(high * 1.5, low * 2)];
  const space = Math.max((high - low) * 0.2, Math.abs(high) * 0.005);
  return [Math.max(0, low - space), high + space];
}

/** The newest evaluation at or before a step; the newest of all if `step` is undefined. */
function evaluationAt(state: RunState, step: number | undefined) {
  return step === undefined
    ? state.evaluations.at(-1)
    : state.evaluations.findLast(([evaluated]) => evaluated <= step);
}

function stepText(step: number | undefined): string {
  return step === undefined ? '' : `step ${count(step)}`;
}

/** The smallest and the largest finite value; 0 and 1 if no value is finite. */
function extent(values: Float64Array, more: readonly number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  const look = (value: number) => {
    if (!Number.isFinite(value)) return;
    if (value < low) low = value;
    if (value > high) high = value;
  };
  values.forEach(look);
  more.forEach(look);
  return high < low ? [0, 1] : [low, high];
}

function plotOf(id: string): HTMLElement {
  const plot = find(id, HTMLElement).querySelector('.plot');
  if (plot instanceof HTMLElement) return plot;
  throw new Error(`#${id} has no plot`);
}

/** The legend of a chart, which shows the newest values or those at the cursor. */
function keyOf(id: string, hasEvaluations: boolean): Key {
  const key = find(id, HTMLElement).querySelector('.key');
  if (key === null) throw new Error(`#${id} has no key`);
  const [at, training] = [make('span', { class: 'at' }), make('b')];
  const [set, evaluated] = [make('span'), make('b')];
  if (hasEvaluations)
    key.append(
      at,
      make('i', { class: 'training-line' }),
      'training ',
      training,
      make('i', { class: 'evaluation-line' }),
      set,
      ' ',
      evaluated,
    );
  else key.append(at, make('i', { class: 'training-line' }), training);
  return (step, trainingText, evaluatedText, setName) => {
    setText(at, step);
    setText(training, trainingText);
    setText(set, setName);
    setText(evaluated, evaluatedText);
  };
}
