import { readRunContents } from '../../coordinator/run-directory/run-contents.ts';
import { datasetOfRun, loadOwnDataset, type OwnDataset } from '../../shared/dataset/own-dataset.ts';
import { Listener } from '../../dashboards/server/listener.ts';
import { RecordedRun } from '../../dashboards/feed/recorded-run.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { pageSecrets } from '../secrets/page-secrets.ts';
import { chooseRun } from '../runs/choose-run.ts';
import { createLogger, type Log } from '../terminal/log.ts';
import { stdout } from '../terminal/output.ts';
import type { CommandLine, ShowOptions } from '../options/options.ts';
import { onStop } from '../processes/supervised.ts';

/** `mnist-dist show`: serves a recorded run's page until Ctrl-C. Does not change the run. */
export async function show(
  options: ShowOptions,
  { explicit, operands: [named] }: Pick<CommandLine, 'explicit' | 'operands'>,
): Promise<number> {
  const { logLevel, logFormat, httpHost, httpPort } = options;
  const log = createLogger({ level: logLevel, format: logFormat, destination: stdout });
  const directory = chooseRun(named, options.runsDir);
  const contents = await readRunContents(directory);
  const { record, writer } = contents;
  if (writer !== undefined)
    log.warn({ writer }, `${writer} is running ${directory}; the page shows its current state`);
  const dataset = await datasetOf(datasetOfRun(directory, record), options, log);
  const source = await RecordedRun.open(contents, dataset);
  const { bad } = source;
  if (bad !== undefined)
    log.warn(
      { line: bad.line },
      `line ${bad.line} of ${directory}/metrics.jsonl is damaged (${bad.reason}); ` +
        'the page shows the lines before it',
    );
  const listener = await Listener.open({
    ...pageSecrets(options),
    host: httpHost,
    port: httpPort,
    source,
    isPortFree: !explicit.has('httpPort'),
    onDefect: (error) =>
      log.error({ err: error }, `the page for ${directory} failed: ${messageOf(error)}`),
  });
  log.info(
    { page: listener.url, run: directory },
    `${directory} is at ${listener.url} (Ctrl-C to stop)`,
  );
  return await new Promise((resolve) => {
    onStop(
      (code) => void listener.close(0).then(() => resolve(new ClusterError(code, '').exitCode)),
    );
  });
}

/**
 * The dataset, for pictures of the mistakes; undefined if it is missing and --no-pictures is set.
 */
async function datasetOf(
  own: OwnDataset,
  { data, pictures }: ShowOptions,
  log: Log,
): Promise<Dataset | undefined> {
  try {
    const otherwise = 'or show the run without pictures of its mistakes: --no-pictures';
    return await loadOwnDataset(own, data, { otherwise });
  } catch (error) {
    if (pictures || !(error instanceof ClusterError) || error.code !== 'DATA') throw error;
    log.warn({}, `the page has no pictures of the mistakes: ${error.message}`);
    return undefined;
  }
}
