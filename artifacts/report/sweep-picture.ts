import type { Colours } from './colours.ts';
import { shortened } from './drawn-names.ts';
import { Markup, markup } from './markup.ts';
import { FONT, FONT_SIZE } from './vega.ts';

/** A panel of the picture: the accuracies of all trials over the values of one option. */
export interface SweepPanel {
  readonly title: string;
  /** How the values are placed: in the order of their list, or on an axis. */
  readonly scale: 'list' | 'linear' | 'log';
  /** The values of the list; on an axis, its two ends. */
  readonly values: readonly string[];
  /** The value of each trial, in the order of `accuracies`. */
  readonly of: readonly string[];
}

export interface SweepPicture {
  readonly title: string;
  readonly panels: readonly SweepPanel[];
  /** The best accuracy of each trial, as a ratio. */
  readonly accuracies: readonly number[];
}

const PLOT = { width: 300, height: 180 } as const;
const PANEL = { width: 390, height: 270 } as const;
const MARGIN = { left: 64, top: 36 } as const;
const TITLE_HEIGHT = 40;
const COLUMNS = 2;
const MAX_LABEL_EMS = 9;
/** Labels below a list; more would overlap. */
const MAX_LABELS = 8;

/** Draws the accuracy of each trial over each option's values as SVG. */
export function sweepSvg({ title, panels, accuracies }: SweepPicture, colours: Colours): string {
  const columns = Math.min(COLUMNS, panels.length);
  const width = columns * PANEL.width;
  const height = TITLE_HEIGHT + Math.ceil(panels.length / columns) * PANEL.height;
  const axis = accuracyAxis(accuracies);
  const drawn = panels.map((panel, i) => {
    const x = (i % columns) * PANEL.width + MARGIN.left;
    const y = TITLE_HEIGHT + Math.floor(i / columns) * PANEL.height + MARGIN.top;
    const content = panelOf(panel, accuracies, axis, colours);
    return markup`<g transform="translate(${x} ${y})">${content}</g>\n`;
  });
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"
 viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="${FONT_SIZE}">
<rect width="${width}" height="${height}" fill="${colours.paper}"/>
<text x="12" y="26" font-size="15" fill="${colours.ink}">${title}</text>
${drawn}</svg>
`.text;
}

interface Axis {
  readonly low: number;
  readonly high: number;
  readonly ticks: readonly number[];
}

function panelOf(
  panel: SweepPanel,
  accuracies: readonly number[],
  axis: Axis,
  colours: Colours,
): Markup {
  const place = placeOf(panel);
  const best = Math.max(...accuracies);
  const points = accuracies.map((accuracy, i) => {
    const isBest = accuracy === best;
    const isOutside = accuracy < axis.low;
    const fill = isOutside ? 'none' : isBest ? colours.miss : colours.hit;
    const stroke = isBest ? colours.miss : colours.hit;
    const [x, y] = [place(panel.of[i] ?? ''), heightOf(accuracy, axis)];
    return markup`<circle cx="${round(x)}" cy="${round(y)}" r="4"
 fill="${fill}" stroke="${stroke}" fill-opacity="0.7"/>`;
  });
  return markup`<text x="0" y="-14" fill="${colours.ink}">${shortened(panel.title, 44)}</text>
${gridOf(axis, colours)}
${means(panel, accuracies, axis, colours)}
${points}
${labelsOf(panel, place, colours)}`;
}

function gridOf({ ticks, ...axis }: Axis, colours: Colours): Markup[] {
  return ticks.map((tick) => {
    const y = round(heightOf(tick, { ...axis, ticks }));
    return markup`<path d="M0 ${y}H${PLOT.width}" stroke="${colours.line}"/>
<text x="-8" y="${y + 4}" text-anchor="end" fill="${colours.muted}">${tickText(tick)}</text>`;
  });
}

/** A line at the mean of the trials with the same value of a list. */
function means(
  { scale, values, of }: SweepPanel,
  accuracies: readonly number[],
  axis: Axis,
  colours: Colours,
): Markup[] {
  if (scale !== 'list') return [];
  const place = placeOf({ scale, values });
  return values.flatMap((value) => {
    const own = accuracies.filter((_, i) => of[i] === value);
    if (own.length < 2) return [];
    const mean = own.reduce((sum, each) => sum + each, 0) / own.length;
    const [x, y] = [round(place(value)), round(heightOf(mean, axis))];
    return [
      markup`<path d="M${x - 12} ${y}H${x + 12}" stroke="${colours.muted}" stroke-width="2"/>`,
    ];
  });
}

function labelsOf(
  { scale, values }: SweepPanel,
  place: (value: string) => number,
  colours: Colours,
): Markup[] {
  const every = Math.ceil(values.length / MAX_LABELS);
  const ems = scale === 'list' ? Math.max(2, 24 / Math.min(values.length, MAX_LABELS)) : 9;
  return values.flatMap((value, i) =>
    i % every === 0
      ? [
          markup`<text x="${round(place(value))}" y="${PLOT.height + 20}" text-anchor="middle"
 fill="${colours.muted}">${shortened(value, Math.min(ems, MAX_LABEL_EMS))}</text>`,
        ]
      : [],
  );
}

/** Where a value is, in pixels from the left of the plot. */
function placeOf({
  scale,
  values,
}: Pick<SweepPanel, 'scale' | 'values'>): (value: string) => number {
  if (scale === 'list')
    return (value) => ((values.indexOf(value) + 0.5) / values.length) * PLOT.width;
  const at = scale === 'log' ? Math.log : Number;
  const [low = 0, high = 1] = values.map((value) => at(Number(value)));
  const inner = PLOT.width - 24;
  return (value) => 12 + ((at(Number(value)) - low) / (high - low)) * inner;
}

/**
 * From the best accuracy down to the worst, but at most three times as far as the lower quartile is
 * away: trials that failed must not press all others together. They are drawn hollow on the lower
 * edge.
 */
function accuracyAxis(accuracies: readonly number[]): Axis {
  const sorted = accuracies.toSorted((a, b) => a - b);
  const best = sorted.at(-1) ?? 1;
  const quartile = sorted[sorted.length >> 2] ?? best;
  const worst = Math.max(sorted[0] ?? 0, best - 3 * Math.max(best - quartile, 0.0025));
  const step = tickStep((best - worst) * 1.1 + 0.001);
  const low = Math.max(0, Math.floor(worst / step) * step);
  const high = Math.min(1, Math.ceil(best / step) * step);
  const count = Math.max(1, Math.round((high - low) / step));
  return { low, high, ticks: Array.from({ length: count + 1 }, (_, i) => low + i * step) };
}

/** 1, 2 or 5 times a power of ten, for about five ticks. */
function tickStep(range: number): number {
  const rough = range / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
}

function heightOf(accuracy: number, { low, high }: Axis): number {
  const ratio = high === low ? 0.5 : (Math.max(accuracy, low) - low) / (high - low);
  return PLOT.height * (1 - ratio);
}

function tickText(ratio: number): string {
  return `${Number((100 * ratio).toFixed(3))} %`;
}

function round(pixels: number): number {
  return Math.round(10 * pixels) / 10;
}
