import { hostname } from 'node:os';
import { cachedDataset, storeDataset } from '../../shared/dataset/dataset-cache.ts';
import { loadDataset } from '../../shared/dataset/load-dataset.ts';
import { systemClock } from '../../shared/clock.ts';
import { MNIST_DIGEST, parseDataset, type Dataset } from '../../shared/dataset/dataset.ts';
import { ClusterError } from '../../shared/errors.ts';
import { DEFAULT_PREPARE_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import type { RunDescription } from '../../shared/wire/run-description.ts';
import { Client } from '../../worker/client.ts';
import { Computation } from '../../worker/computation.ts';
import { fetchDataset, type DialOptions } from '../../worker/dial.ts';
import { GpuTelemetry, watchedGpus } from '../../worker/native/gpu-telemetry.ts';
import {
  chooseEngine,
  engineEnvironment,
  preloadEngine,
  runInEnvironment,
} from '../processes/engine-choice.ts';
import { createLogger } from '../terminal/log.ts';
import type { CommandLine, WorkerOptions } from '../options/options.ts';
import { stderr } from '../terminal/output.ts';
import { version } from '../package.ts';
import { findCoordinator } from '../discovery/find-coordinator.ts';
import { onStop, StopRequest, tell } from '../processes/supervised.ts';
import { workerConnection } from '../secrets/worker-connection.ts';

/** `mnist-dist worker`: dials a coordinator and computes until the run ends. */
export async function worker(
  options: WorkerOptions,
  { explicit, argv }: Pick<CommandLine, 'explicit' | 'argv'>,
): Promise<number> {
  const log = createLogger({
    level: options.logLevel,
    format: options.logFormat,
    destination: stderr,
  });
  // Must come before set-up, which takes minutes, since the user may have to paste the join string.
  const { handedOn, ...connection } = await workerConnection(
    options,
    explicit,
    argv,
    process.env,
    log,
  );
  const { engine, native, gpus } = await chooseEngine(options, log);
  // The linker and TensorFlow read their environment only when a process starts.
  if (native !== undefined) {
    const ended = await runInEnvironment(
      { ...engineEnvironment(native, options, gpus), ...handedOn },
      argv,
    );
    if (ended !== undefined) return ended;
  }
  tuneRuntime();
  preloadEngine(engine);

  const stopping = new AbortController();
  const stop = new StopRequest();
  stop.listen((code) => stopping.abort(new ClusterError(code, 'this worker was stopped')));
  onStop((code) => stop.stop(code));
  const found = await findCoordinator(options, explicit, process.env, log, stopping.signal);
  const dial: DialOptions = {
    signal: stopping.signal,
    ...connection,
    ...found,
    version,
    maxModelBytes: options.maxModelBytes,
    maxDataBytes: options.maxDataBytes,
    maxMemoryBytes: options.maxMemoryBytes,
    engine,
    // The coordinator drops a worker that takes longer to prepare.
    dataLimitMilliseconds: DEFAULT_PREPARE_LIMIT_MILLISECONDS,
  };
  const client = new Client({
    dial,
    settings: {
      name: options.name ?? `${hostname().slice(0, 50)}-${process.pid}`,
      version,
      maxRetries: options.maxRetries ?? Infinity,
      maxWaitMilliseconds: 1000 * options.maxWaitTime,
      prepareLimitMilliseconds: DEFAULT_PREPARE_LIMIT_MILLISECONDS,
    },
    prepare: async (run) => {
      const dataset = await datasetOf(run, dial, (message) => log.warn({}, message));
      const computation = await Computation.create(run.configuration, dataset, {
        kind: engine,
        threads: options.threads,
        device: options.device,
      });
      const { disagreement } = computation;
      if (disagreement !== undefined)
        log.warn(
          { engine },
          `the engine ${disagreement}; computing shard by shard, which is slower`,
        );
      tell({ kind: 'ready' });
      return computation;
    },
    log: (level, message) => log[level]({}, message),
    random: Math.random,
    clock: systemClock.now,
  });
  stop.listen((code) => {
    client.leave(new ClusterError(code, 'this worker was stopped'));
    stopping.abort();
  });
  const telemetry = new GpuTelemetry({
    watched: () => watchedGpus(),
    report: (gpus) => client.report(gpus),
    log: (level, message) => log[level]({}, message),
  });
  client.start();
  telemetry.start();
  try {
    await client.done;
  } finally {
    telemetry.stop();
  }
  log.info({}, 'the run has ended');
  return 0;
}

/** A run's dataset: the installed MNIST, or a dataset from the cache or the coordinator. */
export async function datasetOf(
  run: RunDescription,
  dial: DialOptions,
  warn: (message: string) => void,
): Promise<Dataset> {
  const { dataset: digest } = run.configuration;
  if (digest === MNIST_DIGEST) return loadDataset(undefined);
  const cached = await cachedDataset(digest);
  if (cached !== undefined) return parseDataset(cached, run.class_names, digest);
  const fetched = await fetchDataset(dial, run);
  try {
    await storeDataset(digest, fetched);
  } catch (error) {
    if (!(error instanceof ClusterError) || (error.code !== 'DISK' && error.code !== 'LIMIT'))
      throw error;
    warn(`the dataset could not be cached and will be fetched again: ${error.message}`);
  }
  return parseDataset(fetched, run.class_names, digest);
}
