import { METRIC_PREFIX, type MetricName } from '../metrics/catalogue.ts';
import { DATA_SOURCE } from './grafana-json.ts';

/** A Prometheus query in a panel. */
export interface Query {
  readonly expr: string;
  /** The name of the series; may contain {{label}}. */
  readonly legend: string;
  /**
   * range: values over time; instant: the value at the end of the range; table: the value at the
   * end of the range, with one row per series and its labels; heatmap: buckets over time.
   */
  readonly kind: 'range' | 'instant' | 'table' | 'heatmap';
}

export const range = (legend: string, expr: string): Query => ({ expr, legend, kind: 'range' });
export const table = (expr: string): Query => ({ expr, legend: '', kind: 'table' });

/** Selects the series of one metric in the selected run. */
export function of(name: MetricName, ...matchers: string[]): string {
  return series(name, '', matchers);
}

/** Selects the series of one part of a histogram in the selected run. */
export function partOf(
  name: MetricName,
  part: '_sum' | '_count' | '_bucket',
  ...matchers: string[]
): string {
  return series(name, part, matchers);
}

function series(name: MetricName, part: string, matchers: readonly string[]): string {
  return `${METRIC_PREFIX}${name}${part}{${['run_id="$run"', ...matchers].join(', ')}}`;
}

/**
 * One value of a gauge, even if the run has two series because it has moved to a different host.
 */
export const value = (name: MetricName): string => `max(${of(name)})`;
export const valueBy = (label: string, name: MetricName, ...matchers: string[]): string =>
  `max by (${label}) (${of(name, ...matchers)})`;
/** The newest value in the selected time range, even if the run has ended. */
export const lastBy = (labels: string, name: MetricName): string =>
  `max by (${labels}) (last_over_time(${of(name)}[$__range]))`;

export const rate = (counter: string): string => `sum(rate(${counter}[$__rate_interval]))`;
export const rateBy = (label: string, counter: string): string =>
  `sum by (${label}) (rate(${counter}[$__rate_interval]))`;
export const increaseBy = (label: string, counter: string): string =>
  `sum by (${label}) (increase(${counter}[$__rate_interval]))`;

/** The mean duration of the matching phases per step. */
export function meanPhase(by: string, matcher: string, interval = '$__rate_interval'): string {
  const [sum, count] = (['_sum', '_count'] as const).map(
    (part) =>
      `sum by (${by}) (rate(${partOf('step_phase_duration_seconds', part, matcher)}[${interval}]))`,
  );
  return `${sum} / ${count}`;
}

/** A target for Grafana's Prometheus data source. */
export function target({ expr, legend, kind }: Query, index: number): Record<string, unknown> {
  const isInstant = kind === 'instant' || kind === 'table';
  return {
    refId: String.fromCodePoint(65 + index),
    datasource: DATA_SOURCE,
    editorMode: 'code',
    expr,
    format: kind === 'table' || kind === 'heatmap' ? kind : 'time_series',
    legendFormat: kind === 'table' ? '__auto' : legend,
    instant: isInstant,
    range: !isInstant,
  };
}
