import {
  catalogue,
  isMetricName,
  METRIC_PREFIX,
  type MetricName,
} from '../../../../dashboards/metrics/catalogue.ts';

/** The metrics that a query uses: those in the catalogue, and series that the catalogue lacks. */
export function metricsIn(expr: string): { known: MetricName[]; unknown: string[] } {
  const known = new Set<MetricName>();
  const unknown = new Set<string>();
  // Names of recorded series contain colons; their own rules use the metrics.
  for (const [series] of expr.matchAll(/(?<![\w:])mnist_dist_\w+(?!\w*:)/g)) {
    const name = metricOf(series.slice(METRIC_PREFIX.length));
    if (name === undefined) unknown.add(series);
    else known.add(name);
  }
  return { known: [...known], unknown: [...unknown] };
}

/** A histogram has only parts, and no series with its own name. Other metrics do not have parts. */
function metricOf(series: string): MetricName | undefined {
  const [, base = series, part] = /^(.*?)(_bucket|_sum|_count)$/.exec(series) ?? [];
  const isPart = part !== undefined && isMetricName(base) && catalogue[base].kind === 'histogram';
  const name = isPart ? base : series;
  if (!isMetricName(name)) return undefined;
  return (catalogue[name].kind === 'histogram') === isPart ? name : undefined;
}
