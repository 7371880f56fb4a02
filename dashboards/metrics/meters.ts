import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { unreachable } from '../../shared/errors.ts';
import { Series, type Labels } from './series.ts';
import {
  catalogue,
  METRIC_PREFIX,
  metricNames,
  type MetricName,
  type MetricSpec,
} from './catalogue.ts';

type NamesOf<K> = {
  [N in MetricName]: (typeof catalogue)[N]['kind'] extends K ? N : never;
}[MetricName];
type GaugeName = NamesOf<'gauge'>;
type CounterName = NamesOf<'counter'>;
type HistogramName = NamesOf<'histogram'>;

/** The metrics of the catalogue in a registry of prom-client's. */
export class Meters {
  readonly #registry = new Registry();
  readonly #gauges = new Map<MetricName, Gauge>();
  readonly #counters = new Map<MetricName, Counter>();
  readonly #histograms = new Map<MetricName, Histogram>();

  constructor() {
    for (const name of metricNames) this.#register(name);
  }

  #register(name: MetricName): void {
    const { kind, help, labels, buckets }: MetricSpec = catalogue[name];
    const options = {
      name: METRIC_PREFIX + name,
      help,
      labelNames: labels,
      registers: [this.#registry],
    };
    switch (kind) {
      case 'gauge':
        this.#gauges.set(name, new Gauge(options));
        return;
      case 'counter':
        this.#counters.set(name, new Counter(options));
        return;
      case 'histogram':
        this.#histograms.set(name, new Histogram({ ...options, buckets: [...(buckets ?? [])] }));
        return;
      default:
        return unreachable(kind);
    }
  }

  /** Every sample carries it from now on. */
  setRun(run: string): void {
    this.#registry.setDefaultLabels({ run_id: run });
  }

  /** Until it is set: nothing is better than a zero that means something else. */
  hide(name: GaugeName): void {
    this.remove(name, {});
  }

  gauge(name: GaugeName): Gauge {
    return found(this.#gauges, name);
  }

  /** One of a histogram's, for whoever observes often. */
  series(name: HistogramName, labels: Labels = {}): Series {
    return new Series(found(this.#histograms, name), labels);
  }

  /** A counter whose value somebody else keeps. */
  count(name: CounterName, value: number, labels: Labels = {}): void {
    const counter = found(this.#counters, name);
    counter.remove(labels);
    counter.inc(labels, value);
  }

  /** Of a gauge or a counter. */
  remove(name: GaugeName | CounterName, labels: Labels): void {
    (this.#gauges.get(name) ?? found(this.#counters, name)).remove(labels);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text of a scrape. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function found<T>(metrics: ReadonlyMap<MetricName, T>, name: MetricName): T {
  const metric = metrics.get(name);
  if (metric === undefined) throw new Error(`${name} is in the catalogue`);
  return metric;
}
