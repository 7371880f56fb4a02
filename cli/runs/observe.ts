import type { RunViewer } from '../../coordinator/viewer.ts';
import { runFacts, metricsSettings } from '../../dashboards/feed/facts.ts';
import { Listener } from '../../dashboards/server/listener.ts';
import { Observation, type ObservedRun } from '../../dashboards/feed/observation.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { evaluatedSamples, type Dataset } from '../../shared/dataset/dataset.ts';
import { messageOf } from '../../shared/errors.ts';
import type { Log } from '../terminal/log.ts';
import type { CoordinatorOptions, OptionKey } from '../options/options.ts';
import { version } from '../package.ts';
import { pageSecrets } from '../secrets/page-secrets.ts';
import { isRestarted } from '../processes/signals.ts';

/** The live page and /metrics of a run. */
export interface Observed {
  readonly viewer: RunViewer;
  readonly url: string;
  readonly port: number;
  /** Shows this error instead of the run. */
  fail(error: unknown): void;
  /** Connects the page and the metrics to the run. */
  attach(run: ObservedRun): void;
  /** Shows how the run ended, waits for a last scrape, and closes; `hurry` skips the wait. */
  close(hurry?: AbortSignal): Promise<void>;
}

/** Opens the live page's listener; undefined with --no-http. Rejects with ADDRESS. */
export async function observe(
  options: CoordinatorOptions,
  explicit: ReadonlySet<OptionKey>,
  configuration: Configuration,
  dataset: Dataset,
  { command, log }: { readonly command: string; readonly log: Log },
): Promise<Observed | undefined> {
  if (!options.http) return undefined;
  // A restarted run continues even if another process has taken its page's port.
  const isAgain = isRestarted() && explicit.has('httpPort') && options.httpPort !== 0;
  const observation = new Observation({
    facts: runFacts(configuration, dataset, { version, isLive: true, command }),
    metrics: metricsSettings(configuration, dataset, version),
    imagesOf: (set) => evaluatedSamples(dataset, set, configuration).images,
    clock: () => performance.now(),
    notRecalled: (error) =>
      log.warn(
        { err: error },
        "the live page's curves begin with this coordinator: " +
          `earlier steps could not be read (${messageOf(error)})`,
      ),
  });
  const listener = await Listener.open({
    ...pageSecrets(options),
    host: options.httpHost,
    port: options.httpPort,
    exceptPort: options.port,
    source: observation,
    isPortFree: isAgain || !explicit.has('httpPort'),
    onDefect: (error) =>
      log.error(
        { err: error },
        `the live page has failed; training continues: ${messageOf(error)}`,
      ),
  });
  if (isAgain && listener.port !== options.httpPort)
    log.warn(
      { port: listener.port },
      `the live page's port ${options.httpPort} is in use; the page is now at ${listener.url}`,
    );
  return {
    viewer: observation,
    url: listener.url,
    port: listener.port,
    fail: (error) => listener.fail(error),
    attach: (run) => observation.attach(run),
    // A run that could not be opened has nothing to show.
    close: (hurry) => listener.close(observation.isOpen ? 1000 * options.httpLinger : 0, hurry),
  };
}
