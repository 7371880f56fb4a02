import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { unreachable } from '../../shared/errors.ts';
import { MAX_PENDING_OBSERVATIONS } from '../../shared/limits.ts';
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

type Labels = Readonly<Record<string, string>>;

/** The catalogue's metrics in a prom-client registry. */
export class MetricRegistry {
  readonly #prometheus = new Registry();
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
      registers: [this.#prometheus],
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

  /** Sets the label `run_id` on all samples. */
  setRun(run: string): void {
    this.#prometheus.setDefaultLabels({ run_id: run });
  }

  /** Hides a gauge until it is set, because the default of 0 would be wrong. */
  hide(name: GaugeName): void {
    this.remove(name, {});
  }

  gauge(name: GaugeName): Gauge {
    return found(this.#gauges, name);
  }

  /** One buffered series of a histogram. */
  series(name: HistogramName, labels: Labels = {}): Series {
    return new Series(found(this.#histograms, name), labels);
  }

  /** Sets a counter to a total that is kept elsewhere. */
  count(name: CounterName, value: number, labels: Labels = {}): void {
    const counter = found(this.#counters, name);
    counter.remove(labels);
    counter.inc(labels, value);
  }

  /** Removes a series of a gauge or a counter. */
  remove(name: GaugeName | CounterName, labels: Labels): void {
    (this.#gauges.get(name) ?? found(this.#counters, name)).remove(labels);
  }

  get contentType(): string {
    return this.#prometheus.contentType;
  }

  /** The text for a scrape. */
  text(): Promise<string> {
    return this.#prometheus.metrics();
  }
}

function found<T>(metrics: ReadonlyMap<MetricName, T>, name: MetricName): T {
  const metric = metrics.get(name);
  if (metric === undefined) throw new Error(`the metric ${name} is not registered`);
  return metric;
}

/**
 * One series of a histogram, buffered until a scrape. Observing values in batches is cheaper than
 * observing each value during its step, when the library's code is not in the processor's caches.
 */
export class Series {
  readonly #histogram: Histogram;
  readonly #labels: Labels;
  readonly #values = new Float64Array(MAX_PENDING_OBSERVATIONS);
  #count = 0;

  constructor(histogram: Histogram, labels: Labels) {
    this.#histogram = histogram;
    this.#labels = labels;
  }

  observe(value: number): void {
    if (this.#count === this.#values.length) this.flush();
    this.#values[this.#count] = value;
    this.#count += 1;
  }

  flush(): void {
    for (const value of this.#values.subarray(0, this.#count))
      this.#histogram.observe(this.#labels, value);
    this.#count = 0;
  }

  /** Removes the series and all its observations. */
  forget(): void {
    this.#count = 0;
    this.#histogram.remove(this.#labels);
  }
}
