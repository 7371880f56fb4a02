import { BoardServer } from '../../dashboards/board/board-server.ts';
import type { LoadDataset } from '../../dashboards/board/mistake-pairs.ts';
import type { ListedRun } from '../../dashboards/board/runs-folder.ts';
import { MNIST_DIGEST, type Dataset } from '../../shared/dataset/dataset.ts';
import { datasetOfRun, loadOwnDataset } from '../../shared/dataset/own-dataset.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import type { BoardOptions, CommandLine } from '../options/options.ts';
import { onStop } from '../processes/supervised.ts';
import { readRecordedRun } from '../runs/run-overview.ts';
import { pageSecrets } from '../secrets/page-secrets.ts';
import { createLogger } from '../terminal/log.ts';
import { stdout } from '../terminal/output.ts';

/** `mnist-dist board`: serves a page with all runs of a folder until Ctrl-C. Changes nothing. */
export async function board(
  options: BoardOptions,
  { explicit }: Pick<CommandLine, 'explicit'>,
): Promise<number> {
  const { logLevel, logFormat, httpHost, httpPort, runsDir } = options;
  const log = createLogger({ level: logLevel, format: logFormat, destination: stdout });
  const server = await BoardServer.open({
    ...pageSecrets(options),
    host: httpHost,
    port: httpPort,
    isPortFree: !explicit.has('httpPort'),
    folder: runsDir,
    readRun: readRecordedRun,
    loadDataset: datasetLoader(options),
    onDefect: (error) => log.error({ err: error }, `a request failed: ${messageOf(error)}`),
  });
  log.info(
    { page: server.url, runs: runsDir },
    `the runs in ${runsDir} are at ${server.url} (Ctrl-C to stop)`,
  );
  return await new Promise((resolve) => {
    onStop((code) => void server.close().then(() => resolve(new ClusterError(code, '').exitCode)));
  });
}

/**
 * Loads datasets, and keeps the last one. A path that a run directory names is not followed: the
 * dataset is MNIST, that of --data, or in the cache.
 */
function datasetLoader({ data, pictures }: BoardOptions): LoadDataset {
  let last: { readonly digest: string; readonly dataset: Dataset } | undefined;
  return async ({ name, record }: ListedRun) => {
    if (!pictures) return 'The board shows no pictures (--no-pictures).';
    const own = { ...datasetOfRun(name, record), folder: undefined };
    if (last?.digest === own.digest) return last.dataset;
    try {
      const given = own.digest === MNIST_DIGEST ? undefined : data;
      const dataset = await loadOwnDataset(own, given);
      last = { digest: own.digest, dataset };
      return dataset;
    } catch (error) {
      if (error instanceof ClusterError) return `There are no pictures: ${error.message}`;
      throw error;
    }
  };
}
