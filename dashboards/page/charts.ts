import { Chart, type ChartSpec } from './chart.ts';
import { find, make, setText, onThemeChange } from './dom.ts';
import { count, loss, percent, short, tick } from './format.ts';
import type { RunState } from './run-state.ts';

/**
 * The share of points at the start that an axis ignores when it chooses its range. Values outside
 * the range are clipped.
 */
const START = 0.04;

/** Creates the loss, accuracy and speed charts and returns the function that draws them. */
export function mountCharts(): (state: RunState) => void {
  const charts = [
    new Chart(plotOf('loss-chart'), lossSpec(keyOf('loss-chart', true)), true),
    new Chart(plotOf('accuracy-chart'), accuracySpec(keyOf('accuracy-chart', true))),
    new Chart(plotOf('speed-chart'), speedSpec(keyOf('speed-chart', false))),
  ] as const;
  const scale = find('loss-scale', HTMLButtonElement);
  scale.addEventListener('click', () => {
    const isLogarithmic = scale.getAttribute('aria-pressed') !== 'true';
    scale.setAttribute('aria-pressed', String(isLogarithmic));
    charts[0].isLogarithmic = isLogarithmic;
  });
  onThemeChange(() => charts.forEach((chart) => chart.repaint()));
  let drawn: { state: RunState; length: number; step: number; evaluations: unknown } | undefined;
  return (state) => {
    const { curve, evaluations } = state;
    const now = { state, length: curve.length, step: curve.lastStep, evaluations };
    const isSame =
      drawn?.state === state &&
      drawn.step === now.step &&
      drawn.length === now.length &&
      drawn.evaluations === evaluations;
    if (isSame) return;
    drawn = now;
    for (const chart of charts) chart.draw(state);
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
    range: (state, isLogarithmic) => {
      const { loss, smoothLoss } = state.curve.columns();
      const points = state.evaluations.map(([, value]) => value);
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
    range: (state) => {
      const { smoothAccuracy } = state.curve.columns();
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
    range: (state) => [0, Math.max(1, extent(state.curve.columns().smoothSpeed, [])[1] * 1.2)],
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
