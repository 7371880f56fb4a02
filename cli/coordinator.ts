import { createHash, randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunViewer } from '../coordinator/recorder.ts';
import { startCoordinator } from '../coordinator/start.ts';
import type { Audit } from '../coordinator/state.ts';
import { loadDataset } from '../data/load-dataset.ts';
import { configurationSchema, type Configuration } from '../shared/configuration.ts';
import type { Dataset } from '../shared/dataset.ts';
import { ClusterError } from '../shared/errors.ts';
import { tuneRuntime } from '../shared/runtime.ts';
import type { RunRecord } from '../shared/run-schema.ts';
import { stepsPerEpoch, totalSteps } from '../shared/schedule.ts';
import { isLoopback } from './endpoint.ts';
import type { Log } from './log.ts';
import type { CoordinatorOptions, OptionKey } from './options.ts';
import { version } from './package.ts';
import { adoptRun } from './resume.ts';
import { isSupervised, onStop, tellStarted } from './supervised.ts';
import { openTerminal, type Progress } from './terminal.ts';
import { generateToken, givenToken, writeLoopbackToken } from './token.ts';

/** `mnist-dist coordinator`: owns one run, from gathering workers to its result. */
export async function coordinator(
  given: CoordinatorOptions,
  explicit: ReadonlySet<OptionKey>,
): Promise<number> {
  tuneRuntime();
  const options = await adoptRun(given, explicit);
  const { logLevel, logFormat } = options;
  const { log, progress } = openTerminal({
    stream: process.stdout,
    environment: process.env,
    logLevel,
    logFormat,
  });
  try {
    const dataset = await loadDataset(options.data);
    const configuration = configurationOf(options, dataset);
    const ownToken = givenToken(options.tokenFile, process.env);
    const token = ownToken ?? generateToken();
    const run = await startCoordinator(
      {
        ...{
          configuration,
          dataset,
          token,
          version,
          launch: launchOf(options),
          host: options.host,
          port: options.port,
        },
        ...{
          runsDir: options.runsDir,
          runId: options.runId,
          resume: options.resume,
          takeOver: options.takeOver,
          checkpointEvery: options.checkpointEvery,
          keep: options.keep,
          minWorkers: options.minWorkers,
          startWorkers: startWorkersOf(options),
          maxWorkers: options.maxWorkers,
        },
        ...{
          rendezvousMilliseconds: 1000 * options.rdzvTimeout,
          allowMixedEngines: options.allowMixedEngines,
          audit: auditOf(options),
          sharedMemory: options.sharedMemory,
        },
      },
      viewerOf(configuration, progress, log),
    );
    const tokenFile = ownToken === undefined ? writeLoopbackToken(run.port, token) : undefined;
    onStop((code) => run.stop(code));
    announce(options, run.directory, run.port, tokenFile?.file, log);
    try {
      const { outcome, record } = await run.done;
      if (outcome.code !== undefined) {
        throw new ClusterError(
          outcome.code,
          outcome.message,
          outcome.fix === undefined ? {} : { fix: outcome.fix },
        );
      }
      summarize(progress, run.directory, record);
      return 0;
    } finally {
      tokenFile?.remove();
    }
  } finally {
    progress.close();
  }
}

function configurationOf(options: CoordinatorOptions, dataset: Dataset): Configuration {
  const {
    hidden,
    dropout,
    batchSize,
    virtualShards,
    learningRate,
    beta1,
    beta2,
    epsilon,
    seed,
    epochs,
    steps,
  } = options;
  return configurationSchema.parse({
    ...{
      dataset: dataset.digest,
      dropout,
      batchSize,
      virtualShards,
      learningRate,
      beta1,
      beta2,
      epsilon,
      seed,
      epochs,
    },
    ...(steps === undefined ? {} : { steps }),
    model: {
      inputs: dataset.rows * dataset.columns,
      hidden: [...hidden],
      classes: dataset.classNames.length,
    },
    ...{ trainSamples: dataset.train.samples, testSamples: dataset.test.samples },
  });
}

function announce(
  options: CoordinatorOptions,
  directory: string,
  port: number,
  tokenFile: string | undefined,
  log: Log,
): void {
  log.info({ run: directory }, `run ${directory}`);
  const { virtualShards } = options;
  const workers = startWorkersOf(options);
  if (workers > virtualShards) {
    log.warn(
      { workers, virtualShards },
      `${workers} workers, but a batch has ${virtualShards} shards: ${workers - virtualShards} stand by (--virtual-shards)`,
    );
  }
  if (isSupervised()) return;
  const url = `ws://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`;
  const how =
    tokenFile === undefined
      ? ' (with the same token)'
      : isLoopback(options.host)
        ? ''
        : ` --token-file ${tokenFile}`;
  if (tokenFile !== undefined)
    log.info({ tokenFile }, `the token is in ${tokenFile}; workers of this user on this machine find it`);
  log.info(
    { url, workers },
    `waiting for ${workers === 1 ? 'a worker' : `${workers} workers`}: mnist-dist worker --coordinator ${url}${how}`,
  );
}

function viewerOf(configuration: Configuration, progress: Progress, log: Log): RunViewer {
  const epochs = Math.ceil(totalSteps(configuration) / stepsPerEpoch(configuration));
  return {
    step: (report) => progress.step({ ...report, epochs, totalSteps: totalSteps(configuration) }),
    evaluation: (report) => progress.evaluation(report),
    log: (level, message, fields) => log[level](fields, message),
    started: tellStarted,
    devices: () => undefined,
  };
}

function summarize(progress: Progress, runDirectory: string, record: RunRecord): void {
  const { result, engine, dataset } = record;
  if (result === undefined) return;
  const model = readFileSync(join(runDirectory, 'model.safetensors'));
  progress.summary({
    runDirectory,
    engine:
      engine === undefined
        ? 'none'
        : `${engine.description.kind} (${engine.description.library}, ${engine.description.device})`,
    workers: record.workers.length,
    steps: record.step,
    seconds: (Date.parse(record.ended ?? record.started) - Date.parse(record.started)) / 1000,
    stepsPerSecond: result.steps_per_second ?? undefined,
    test: { ...result.test, classNames: dataset.class_names },
    modelSha256: createHash('sha256').update(model).digest('hex'),
  });
}

function startWorkersOf({ startWorkers, minWorkers }: CoordinatorOptions): number {
  return Math.max(startWorkers ?? 1, minWorkers);
}

/** The key is made anew at every start and told to nobody. */
function auditOf({ audit: rate }: CoordinatorOptions): Audit | undefined {
  return rate === 0 ? undefined : { rate, key: [randomInt(2 ** 32), randomInt(2 ** 32)] };
}

/** How the run was started, for run.json; no secret is among the options. */
function launchOf(options: CoordinatorOptions): RunRecord['launch'] {
  const {
    host,
    port,
    minWorkers,
    maxWorkers,
    rdzvTimeout,
    audit,
    allowMixedEngines,
    sharedMemory,
    insecure,
  } = options;
  return {
    host,
    port,
    min_workers: minWorkers,
    start_workers: startWorkersOf(options),
    max_workers: maxWorkers,
    rdzv_timeout: rdzvTimeout,
    audit,
    allow_mixed_engines: allowMixedEngines,
    shared_memory: sharedMemory,
    insecure,
  };
}
