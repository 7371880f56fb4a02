import type uPlot from 'uplot';
import { colour } from '../dom.ts';
import { decades, tick } from '../format.ts';

export const CHART_HEIGHT_PIXELS = 236;
/** Candidate distances between labelled steps, all of them integers. */
const WHOLE_STEPS = Array.from({ length: 9 }, (_, power) =>
  [1, 2, 5].map((factor) => factor * 10 ** power),
).flat();
const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif';

/** The axis of the steps; `label` is asked each time the chart is drawn. */
export function stepAxis(label: () => string): uPlot.Axis {
  return {
    ...common,
    grid: { show: false },
    space: 70,
    size: 24,
    incrs: WHOLE_STEPS,
    label,
    labelFont: FONT,
    labelSize: 18,
    labelGap: 2,
    values: (_, splits) => splits.map(tick),
  };
}

export function valueAxis(isLogarithmic: boolean, text: (value: number) => string): uPlot.Axis {
  return {
    ...common,
    size: 46,
    space: 34,
    ...(isLogarithmic ? { splits: (_, __, low, high) => decades(low, high), filter: keepAll } : {}),
    values: (_, splits) => splits.map(text),
  };
}

const common: uPlot.Axis = {
  stroke: () => colour('muted'),
  grid: { stroke: () => colour('line'), width: 1 },
  ticks: { show: false },
  font: FONT,
  gap: 6,
};

/** By default, uPlot omits some labels on a logarithmic axis. */
function keepAll(_: uPlot, splits: number[]): number[] {
  return splits;
}
