import type { Colours } from './colours.ts';
import type { CurvePoint, TrainingCurve } from './training-curve.ts';
import { drawSvg, type Part, textAt } from './vega.ts';

export type Quantity = 'loss' | 'accuracy';

const SIZE = { width: 560, height: 260 } as const;
const PADDING = { left: 64, top: 38, right: 24, bottom: 48 } as const;
/**
 * Fraction of the steps, counted from the start, that does not affect the range of the accuracy
 * axis.
 */
const START = 0.04;

interface Axis {
  readonly domain: readonly [low: number, high: number];
  readonly isLogarithmic: boolean;
  /** The axis labels, as a Vega expression. */
  readonly label: string;
  readonly values?: readonly number[];
}

/**
 * Draws the loss or the accuracy: of training per step, thinned and smoothed, and of the evaluated
 * set per epoch.
 */
export async function curveSvg(
  curve: TrainingCurve,
  quantity: Quantity,
  colours: Colours,
  title: string | undefined,
): Promise<string> {
  const { training, smooth, evaluations, steps } = curve;
  const axis = quantity === 'loss' ? lossAxis(curve) : accuracyAxis(curve);
  const line = (
    name: string,
    points: readonly CurvePoint[],
    color: string,
    more: Part = {},
  ): Part => ({
    name,
    data: { values: pointsOf(points, quantity, axis) },
    // A single point does not make a line, so it is drawn as a point.
    mark: {
      type: 'line',
      color,
      strokeWidth: 2,
      strokeJoin: 'round',
      ...(points.length === 1 ? { point: { fill: color } } : {}),
      ...more,
    },
    encoding: encodingOf(axis, steps, quantity),
  });
  const { hit, hitSoft, evaluation: red, paper } = colours;
  const spec = {
    ...SIZE,
    layer: [
      line('training', training, hitSoft, { strokeWidth: 1 }),
      line('smooth', smooth, hit),
      line('evaluation', evaluations, red, {
        point: { filled: true, fill: red, stroke: paper, size: 50, opacity: 1 },
      }),
      ...legend(curve, colours),
      ...(title === undefined ? [] : [textAt(8 - PADDING.left, -46, title, { fontSize: 15 })]),
    ],
  };
  return drawSvg(spec, { ...PADDING, top: PADDING.top + (title === undefined ? 0 : 28) }, colours);
}

/** Points outside the range of the axis are not drawn, which leaves gaps in the line. */
function pointsOf(
  points: readonly CurvePoint[],
  quantity: Quantity,
  { domain: [low, high] }: Axis,
): Part[] {
  return points.map(({ step, [quantity]: value }) => ({
    step,
    value: value >= low && value <= high ? value : null,
  }));
}

function encodingOf(
  { domain, isLogarithmic, label, values }: Axis,
  steps: number,
  title: string,
): Part {
  return {
    x: {
      field: 'step',
      type: 'quantitative',
      scale: { domain: [0, Math.max(1, steps)], nice: false },
      axis: {
        title: 'step',
        titleY: 36,
        grid: false,
        tickCount: 6,
        tickMinStep: 1,
        format: ',d',
        labelFlush: false,
      },
    },
    y: {
      field: 'value',
      type: 'quantitative',
      scale: { domain, nice: false, zero: false, type: isLogarithmic ? 'log' : 'linear' },
      axis: {
        title,
        titleX: -46,
        titleAngle: -90,
        labelExpr: label,
        ...(values && { values }),
        tickCount: 6,
      },
    },
  };
}

/** Logarithmic, because the loss falls by a factor of a hundred within a run. */
function lossAxis({ training, smooth, evaluations }: TrainingCurve): Axis {
  const of = (points: readonly CurvePoint[]) =>
    points.map(({ loss }) => loss).filter((loss) => loss > 0);
  const trend = [...of(smooth), ...of(evaluations)];
  const all = [...trend, ...of(training)];
  if (trend.length === 0) return { domain: [0.1, 1], isLogarithmic: true, label: 'datum.label' };
  const low = Math.min(...trend) / 1.6;
  const high = Math.max(...all, 2 * low) * 1.1;
  return {
    domain: [low, high],
    isLogarithmic: true,
    label: "format(datum.value, '~g')",
    values: decades(low, high),
  };
}

function accuracyAxis({ smooth, evaluations }: TrainingCurve): Axis {
  const later = smooth.slice(Math.floor(smooth.length * START));
  const low = Math.min(1, ...[...later, ...evaluations].map(({ accuracy }) => accuracy));
  const edge = Math.max(0, Math.floor((low - 0.05) * 10) / 10);
  return {
    domain: [edge, 1],
    isLogarithmic: false,
    label: "format(100 * datum.value, '~r') + ' %'",
  };
}

/** 1, 2 and 5 times powers of ten; only the powers if there are many decades. */
function decades(low: number, high: number): number[] {
  const factors = high / low > 1e4 ? [1] : [1, 2, 5];
  const powers = Array.from({ length: 640 }, (_, index) => index - 320);
  return powers
    .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
    .filter((value) => value >= low && value <= high);
}

/** The legend is above the plot, so that no line crosses it. */
function legend(
  { stepsPerPoint, set }: TrainingCurve,
  { hit, hitSoft, evaluation, muted }: Colours,
): Part[] {
  const steps = stepsPerPoint === 1 ? 'per step' : `mean of ${stepsPerPoint} steps`;
  const entries = [
    { x: 0, color: hitSoft, text: `training, ${steps}` },
    { x: 236, color: hit, text: 'training, smoothed' },
    { x: 412, color: evaluation, text: `${set}, per epoch` },
  ];
  return entries.flatMap(({ x, color, text }) => [
    {
      data: { values: [{}] },
      mark: { type: 'rule', color, strokeWidth: 3 },
      encoding: { x: { value: x }, x2: { value: x + 18 }, y: { value: -18 } },
    },
    textAt(x + 24, -18, text, { fill: muted }),
  ]);
}
