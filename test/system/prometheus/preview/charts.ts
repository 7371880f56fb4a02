import { Error as ERRORS, logger, parse, View, type Spec } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { Panel } from '../../../fixtures/read-dashboards.ts';
import { color, property, type Moment, type Named, type Window } from './data.ts';
import { format } from './units.ts';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The data of a chart, and its size. */
export interface Drawing {
  readonly panel: Panel;
  readonly series: readonly Named[];
  /** The moments that vertical lines mark. */
  readonly moments: readonly Moment[];
  readonly window: Window;
  readonly size: Size;
}

type Layer = Record<string, unknown>;
const config = {
  background: 'transparent',
  view: { stroke: null },
  font: 'sans-serif',
  axis: {
    labelColor: '#ccccdc',
    titleColor: '#ccccdc',
    gridColor: '#2c2f36',
    domain: false,
    ticks: false,
  },
  scale: { rangeStep: null },
};

/** Lines over time, or stacked areas, with a vertical line at each event, as SVG. */
export async function timeSeries(drawing: Drawing): Promise<string> {
  const { panel, series, moments, window, size } = drawing;
  const custom = panel.fieldConfig?.defaults.custom ?? {};
  const values = series.flatMap(({ name, points }) =>
    points.filter(([, v]) => Number.isFinite(v)).map(([t, v]) => ({ t: 1000 * t, v, name })),
  );
  const isStacked = JSON.stringify(custom['stacking'] ?? '').includes('normal');
  const place = {
    x: timeAxis(window),
    y: { ...valueAxis(panel, values), stack: isStacked ? 'zero' : null },
  };
  const names = series.map(({ name }) => name);
  const areas: Layer = {
    mark: { type: 'area', opacity: 0.6 },
    encoding: { ...place, color: colors(names, (name, index) => color(panel, name, index)) },
  };
  const lines = names.map((name, index): Layer => {
    const shapes = [custom['lineInterpolation'], property(panel, name, 'custom.lineInterpolation')];
    return {
      transform: [{ filter: { field: 'name', equal: name } }],
      mark: {
        type: 'line',
        color: color(panel, name, index),
        strokeWidth: Number(property(panel, name, 'custom.lineWidth') ?? 1),
        interpolate: shapes.includes('stepAfter') ? 'step-after' : 'linear',
      },
      encoding: place,
    };
  });
  const rules = moments.map(({ time, color: stroke }): Layer => ({
    data: { values: [{ t: 1000 * time }] },
    mark: { type: 'rule', color: stroke, strokeDash: [3, 3], opacity: 0.7 },
    encoding: { x: timeAxis(window) },
  }));
  const layer = [...(isStacked ? [areas] : lines), ...rules];
  return svg({ data: { values }, layer }, panel, size);
}

const colors = (names: readonly string[], of: (name: string, index: number) => string) => ({
  ...field('name'),
  scale: { domain: names, range: names.map(of) },
  legend: null,
});

/** A chart of one query against another. */
export async function curves({ panel, series, size }: Drawing): Promise<string> {
  const pairs = JSON.stringify(panel.options?.['series'] ?? []);
  const names = [...pairs.matchAll(/"options":"([^"]+)"/g)].map(([, name = '']) => name);
  const layers: Layer[] = [];
  for (let i = 0; i < names.length; i += 2) {
    const [xs, ys] = [names[i], names[i + 1] ?? ''].map(
      (name) => new Map(series.find((each) => each.name === name)?.points ?? []),
    );
    const values = [...(xs ?? [])].flatMap(([time, x]) => {
      const y = ys?.get(time);
      return y === undefined || !Number.isFinite(y) ? [] : [{ x, y, order: time }];
    });
    const y = valueAxis(panel, []);
    layers.push({
      data: { values },
      mark: {
        type: 'line',
        color: color(panel, names[i + 1] ?? '', i),
        point: property(panel, names[i + 1] ?? '', 'custom.show') !== undefined,
      },
      encoding: {
        x: { ...quantity('x'), axis: { title: 'step', grid: false } },
        y: { ...y, field: 'y' },
        order: quantity('order'),
      },
    });
  }
  return svg({ layer: layers }, panel, size);
}

/** Counts per bucket over time; empty buckets are omitted. */
export async function heatmap({ panel, series, window, size }: Drawing): Promise<string> {
  const sorted = series.toSorted((a, b) => boundOf(a) - boundOf(b));
  const values = sorted.flatMap((each, index) => {
    const below = new Map(sorted[index - 1]?.points ?? []);
    return each.points
      .map(([t, v]) => ({
        t: 1000 * t,
        t2: 1000 * (t + window.step),
        le: bucket(each),
        v: v - (below.get(t) ?? 0),
      }))
      .filter(({ v }) => v > 0);
  });
  const order = sorted.map((each) => bucket(each)).toReversed();
  const spec = {
    data: { values },
    mark: 'rect',
    encoding: {
      x: timeAxis(window),
      x2: { field: 't2' },
      y: { field: 'le', type: 'ordinal', sort: order, title: null },
      color: { ...quantity('v'), scale: { scheme: 'viridis', type: 'sqrt' }, legend: null },
    },
  };
  return svg(spec, panel, size);
}

const boundOf = ({ name }: Named): number => (name === '+Inf' ? Infinity : Number(name));
const bucket = (series: Named): string =>
  series.name === '+Inf' ? 'more' : format(boundOf(series), 's');

/** A bar for each series, whose colour shows the state. */
export async function timeline({ panel, series, window, size }: Drawing): Promise<string> {
  const states = panel.fieldConfig?.defaults.mappings?.[0]?.options ?? {};
  const values = series.flatMap(({ name, points }) =>
    points.map(([t, v]) => ({
      t: 1000 * t,
      t2: 1000 * (t + window.step),
      name,
      state: states[String(v)]?.text ?? '?',
    })),
  );
  const known = Object.values(states);
  const spec = {
    data: { values },
    mark: { type: 'rect', height: { band: 0.8 } },
    encoding: {
      x: timeAxis(window),
      x2: { field: 't2' },
      y: { field: 'name', type: 'ordinal', title: null },
      color: {
        ...field('state'),
        scale: { domain: known.map(({ text }) => text), range: known.map(({ color: c }) => c) },
        legend: null,
      },
    },
  };
  return svg(spec, panel, size);
}

const field = (name: string) => ({ field: name, type: 'nominal' });
const quantity = (name: string) => ({ field: name, type: 'quantitative' });

function timeAxis({ start, end }: Window) {
  return {
    field: 't',
    type: 'temporal',
    title: null,
    scale: { domain: [1000 * start, 1000 * end] },
    axis: { format: '%H:%M:%S', grid: false, labelOverlap: true },
  };
}

function valueAxis(panel: Panel, values: readonly { readonly v: number }[]) {
  const { min, max, unit = 'none' } = panel.fieldConfig?.defaults ?? {};
  const scale = {
    zero: false,
    ...(min === undefined ? {} : { domainMin: min }),
    ...(max === undefined ? {} : { domainMax: max }),
    ...(values.every(({ v }) => v === 0) && max === undefined && values.length > 0
      ? { domain: [0, 1] }
      : {}),
  };
  return { ...quantity('v'), scale, axis: { title: null, labelExpr: labelOf(unit), tickCount: 5 } };
}

/** The label of an axis in Vega's expression language. */
function labelOf(unit: string): string {
  const number = (expr: string) => `format(${expr}, '~r')`;
  if (unit === 'percentunit') return `${number('100 * datum.value')} + ' %'`;
  if (unit === 's')
    return (
      "datum.value == 0 ? '0' : " +
      `abs(datum.value) < 0.001 ? ${number('1e6 * datum.value')} + ' µs' : ` +
      `abs(datum.value) < 1 ? ${number('1e3 * datum.value')} + ' ms' : ` +
      `${number('datum.value')} + ' s'`
    );
  if (unit === 'bytes' || unit === 'Bps')
    return `format(datum.value, '~s') + '${unit === 'bytes' ? 'B' : 'B/s'}'`;
  const suffix = /^suffix:(.*)$/.exec(unit)?.[1] ?? { celsius: ' °C', watt: ' W' }[unit] ?? '';
  return (
    `(abs(datum.value) >= 1000 ? format(datum.value, '~s') : ${number('datum.value')}) ` +
    `+ '${suffix}'`
  );
}

async function svg(spec: Layer, panel: Panel, { width, height }: Size): Promise<string> {
  const whole = {
    ...spec,
    width,
    height,
    autosize: { type: 'fit', contains: 'padding' },
    config,
    title: undefined,
  };
  // Vega-Lite itself checks the specification. Its TypeScript type is too large for a specification
  // that is built piece by piece.
  const checked: TopLevelSpec = JSON.parse(JSON.stringify(whole));
  const compiled: Spec = compile(checked, { logger: logger(ERRORS) }).spec;
  try {
    return await new View(parse(compiled), { renderer: 'none' }).toSVG();
  } catch (error) {
    throw new Error(`${panel.title} cannot be drawn`, { cause: error });
  }
}
