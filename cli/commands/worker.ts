import { hostname } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { systemClock } from '../../shared/clock.ts';
import { ClusterError } from '../../shared/errors.ts';
import {
  DEFAULT_PREPARE_LIMIT_MILLISECONDS,
  MIN_REQUEST_LIMIT_MILLISECONDS,
  REQUEST_LIMIT_MILLISECONDS,
} from '../../shared/limits.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { Client } from '../../worker/client.ts';
import type { DialOptions } from '../../worker/dial.ts';
import { chooseEngine } from '../processes/engine-choice.ts';
import { engineEnvironment, enterEnvironment } from '../processes/engine-environment.ts';
import { createLogger, type Log } from '../terminal/log.ts';
import type { CommandLine, WorkerOptions } from '../options/options.ts';
import { stderr } from '../terminal/output.ts';
import { version } from '../package.ts';
import { findCoordinator } from '../discovery/find-coordinator.ts';
import { onStop, StopRequest, tell } from '../processes/supervised.ts';
import type { Kept } from '../processes/prepare-computation.ts';
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
  if (native !== undefined) {
    const environment = engineEnvironment(native, options, gpus);
    const ended = await enterEnvironment(environment, handedOn, argv);
    if (ended !== undefined) return ended;
  }
  tuneRuntime();
  // Loaded early, while the coordinator may still be starting.
  if (engine === 'tensorflow') {
    const { loadTensorFlow } = await import('../../worker/native/load.ts');
    loadTensorFlow((lines) => stderr.write(...lines));
  }

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
    requestLimitMilliseconds: Math.max(
      MIN_REQUEST_LIMIT_MILLISECONDS,
      Math.min(REQUEST_LIMIT_MILLISECONDS, 1000 * options.maxWaitTime),
    ),
    // The coordinator drops a worker that takes longer to prepare.
    dataLimitMilliseconds: DEFAULT_PREPARE_LIMIT_MILLISECONDS,
  };
  let kept: Kept | undefined;
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
      const { prepareComputation } = await import('../processes/prepare-computation.ts');
      const prepared = await prepareComputation(run, dial, options, log, kept);
      kept = prepared.kept;
      tell({ kind: 'ready' });
      return prepared.computation;
    },
    log: (level, message) => log[level]({}, message),
    random: Math.random,
    clock: systemClock.now,
    spin: options.spin,
    loadMemoryAddon: async () => {
      const { loadMemoryAddon } = await import('../../worker/native/addons/memory.ts');
      return loadMemoryAddon();
    },
  });
  stop.listen((code) => {
    client.leave(new ClusterError(code, 'this worker was stopped'));
    stopping.abort();
  });
  client.start();
  const telemetry = watchGpus(client, log);
  try {
    await client.done;
  } finally {
    (await telemetry).stop();
  }
  log.info({}, 'the run has ended');
  return 0;
}

/** Watches this worker's GPUs, and loads what a run needs while the coordinator answers. */
async function watchGpus(client: Client, log: Log): Promise<{ stop(): void }> {
  // The client dials first.
  await setImmediate();
  void import('../processes/prepare-computation.ts');
  const { GpuTelemetry, watchedGpus } = await import('../../worker/native/gpu-telemetry.ts');
  const telemetry = new GpuTelemetry({
    watched: () => watchedGpus(),
    report: (gpus) => client.report(gpus),
    log: (level, message) => log[level]({}, message),
  });
  telemetry.start();
  return telemetry;
}
