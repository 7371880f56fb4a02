import type { RunViewer } from '../coordinator/viewer.ts';
import { runFacts, metricsSettings } from '../observation/facts.ts';
import { Listener } from '../observation/listener.ts';
import { Observation, type ObservedRun } from '../observation/observation.ts';
import type { Configuration } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset.ts';
import type { CoordinatorOptions, OptionKey } from './options.ts';
import { version } from './package.ts';

/** The live page and /metrics of a run. */
export interface Observed {
  readonly viewer: RunViewer;
  readonly url: string;
  readonly port: number;
  /** The run can be asked from now on. */
  attach(run: ObservedRun): void;
  /** Says how the run ended to whoever looks, and ends; with `hurry` without waiting for a scrape. */
  close(hurry?: AbortSignal): Promise<void>;
}

/** Opens the observation listener; undefined with --no-http. Rejects with ADDRESS. */
export async function observe(
  options: CoordinatorOptions,
  explicit: ReadonlySet<OptionKey>,
  configuration: Configuration,
  dataset: Dataset,
): Promise<Observed | undefined> {
  if (!options.http) return undefined;
  const observation = new Observation({
    facts: runFacts(configuration, dataset, version, true),
    metrics: metricsSettings(configuration, dataset, version),
    ...{ testImages: dataset.test.images, clock: () => performance.now() },
  });
  const listener = await Listener.open({
    ...{ host: options.httpHost, port: options.httpPort, source: observation },
    isPortFree: !explicit.has('httpPort'),
  });
  return {
    ...{ viewer: observation, url: listener.url, port: listener.port },
    attach: (run) => observation.attach(run),
    // A run that could not be opened has nothing to tell.
    close: (hurry) => listener.close(observation.isOpen ? 1000 * options.httpLinger : 0, hurry),
  };
}
