import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { systemCode } from '../../shared/disk/system-error.ts';
import { readRunRecord } from '../../coordinator/run-directory/read-run.ts';
import { newRunId } from '../../coordinator/run-directory/run-directory.ts';
import { configurationOfRecord, type Configuration } from '../../shared/configuration.ts';
import { MNIST_SHAPE } from '../../shared/dataset/dataset.ts';
import { ClusterError, errorTable } from '../../shared/errors.ts';
import { checkFileSizes } from '../../shared/file-needs.ts';
import {
  checkCoordinatorMemory,
  checkWorkerMemory,
  type Needing,
} from '../../shared/memory-needs.ts';
import { isLoopback, isWildcard, reachableAt } from '../../shared/wire/address.ts';
import { shellPath, shellWord } from '../../shared/shell-word.ts';
import { argumentsFor } from '../processes/child-arguments.ts';
import { LISTENER_VARIABLE } from '../processes/child-process.ts';
import { commandEnvironment } from '../processes/signals.ts';
import { WorkerGroup } from '../processes/worker-group.ts';
import { reservePort, type ReservedPort } from '../processes/reserved-port.ts';
import { createLogger, type Log } from '../terminal/log.ts';
import { endStopped, type Ending } from '../processes/end-stopped.ts';
import { documentedExit, exitText, RestartingProcess } from '../processes/restarting-process.ts';
import { withoutOptions } from '../options/environment.ts';
import { keysOf, type CommandLine, type LocalOptions, type OptionKey } from '../options/options.ts';
import { stderr } from '../terminal/output.ts';
import { optimizerOf } from '../runs/recipe-options.ts';
import {
  checkExcess,
  chooseLayers,
  MODEL_TEXT,
  modelFor,
  type ChosenLayers,
} from '../models/choose-layers.ts';
import { chooseInit } from '../runs/choose-init.ts';
import { mlflowTarget } from '../runs/mlflow-target.ts';
import { adoptRun } from '../runs/resume.ts';
import { withEngineOfRun } from '../runs/run-engine.ts';
import { pageCertificate } from '../secrets/page-secrets.ts';
import { trainingCertificate, type OwnCertificate } from '../secrets/tls-files.ts';
import { generateToken } from '../secrets/generated-token.ts';
import { givenToken } from '../secrets/token.ts';
import { onStop, StopRequest, tell } from '../processes/supervised.ts';
import { requireReachable } from '../processes/reachable.ts';
import { planWorkers, startWorker } from '../processes/worker-plan.ts';
import { RECORD_FILE } from '../../shared/files/run-layout.ts';

/** `mnist-dist local`: starts a coordinator and workers as child processes and waits for them. */
export async function local(
  given: LocalOptions,
  { explicit, argv }: Pick<CommandLine, 'explicit' | 'argv'>,
): Promise<number> {
  const options = await adoptRun(given, explicit);
  const log = createLogger({
    level: options.logLevel,
    format: options.logFormat,
    destination: stderr,
  });
  const certificate = trainingCertificate(options);
  // Checked here, because a coordinator that fails is started again.
  if (options.http) pageCertificate(options);
  mlflowTarget(options.mlflow, process.env);
  // Read first, so that an error in the run's record is reported before a port is reserved,
  // TensorFlow is set up and processes are started.
  const before = options.resume === undefined ? undefined : await readRunRecord(options.resume);
  const layers = before === undefined ? chooseLayers(options) : undefined;
  await chooseInit(options);
  const least =
    before === undefined
      ? leastConfiguration(options, layers)
      : configurationOfRecord(before.configuration);
  if (least !== undefined) {
    checkCoordinatorMemory(least);
    checkFileSizes(least, options.steps ?? 0);
  }
  // Reserved for the whole run, so that no other process can take the port while the coordinator
  // restarts.
  const { port, descriptor } = await holdRunPort(options, explicit, log);
  const url = urlOnThisMachine(certificate, options.host, port);
  await requireReachable(url);
  // Chosen here, because a restarted coordinator needs the same id.
  const runId = options.resume === undefined ? (options.runId ?? newRunId(new Date())) : undefined;
  const directory = options.resume ?? join(options.runsDir, runId ?? '');
  tell({ kind: 'run', directory: resolve(directory) });
  const needed = given.engine === 'auto' ? before?.engine?.description : undefined;
  const plans = await withEngineOfRun(directory, needed, () => planWorkers(options, log));
  for (const { engine } of plans.slice(0, 1))
    if (least !== undefined) checkWorkerMemory(least, engine, options.maxMemoryBytes);
  const token = givenToken(options.tokenFile, process.env) ?? generateToken();
  const environment = { ...process.env, MNIST_DIST_TOKEN: token };
  const termBefore = before?.term ?? 0;
  const { httpPort: page, model, init, hidden, dropout, ...rest } = options;
  const run = { ...rest, port, tokenFile: undefined, startWorkers: plans.length };
  const isDense = model === undefined || model === 'mlp';
  const begin = { runId, model, init, ...(isDense ? { hidden, dropout } : {}) };
  // The coordinator takes epsilon from the record, where an older version may have left a smaller
  // one than the option allows.
  const resumed = { runId: undefined, epsilon: undefined };
  // The coordinator cannot read a pipe again.
  const text = layers?.text === undefined ? {} : { [MODEL_TEXT]: layers.text };
  const common = { maxRestarts: options.maxRestarts, log };
  // Must come before the first child process starts: Ctrl-C must end all of them.
  const stopping = new StopRequest();
  onStop((code) => stopping.stop(code));
  const coordinator = new RestartingProcess({
    ...common,
    name: 'coordinator',
    output: 'inherit',
    listener: descriptor,
    environment: {
      ...withoutOptions(keysOf('local'), environment),
      [LISTENER_VARIABLE]: '1',
      ...commandEnvironment(argv),
      ...text,
    },
    codeAtEnd: async () => {
      if (!existsSync(join(directory, RECORD_FILE))) return undefined;
      const { state, term } = await readRunRecord(directory);
      // If a finished run is being extended, its record still says "finished" until the coordinator
      // opens it.
      if (state !== 'finished' || term <= termBefore) return undefined;
      if (options.artifacts === undefined) return 0;
      log.error(
        {},
        'the upload may be incomplete; finish it with: ' +
          `mnist-dist push ${shellPath(directory)} ${shellWord(options.artifacts)}`,
      );
      return errorTable.STORE.exit;
    },
    args: (isRestart, pagePort) => {
      // A restarted coordinator keeps its page's port.
      const httpPort = pagePort ?? (explicit.has('httpPort') ? page : undefined);
      const where = httpPort === undefined ? {} : { httpPort };
      // A coordinator that crashed before its first run.json left nothing to resume.
      const isBegun = isRestart && existsSync(join(directory, RECORD_FILE));
      // The restarted coordinator continues with the workers that are connected.
      const again = { ...resumed, resume: directory, startWorkers: options.minWorkers };
      return argumentsFor('coordinator', {
        ...run,
        ...where,
        ...(isBegun ? again : options.resume === undefined ? begin : resumed),
      });
    },
  });
  const workers = plans.map((plan) =>
    startWorker(plan, { ...options, sslCaCertfile: options.sslCertfile }, url, {
      ...common,
      environment,
      // The others begin without a worker that crashes, which joins them later.
      restarting: () => coordinator.tell({ kind: 'expect', workers: options.minWorkers }),
    }),
  );
  return await supervise({
    coordinator,
    workers,
    minWorkers: options.minWorkers,
    directory,
    stopping,
    log,
  });
}

/**
 * What is known of the new run. The size of the images in a dataset other than MNIST is not known
 * yet: a dense model has at least one pixel and two classes, any other is checked later.
 */
function leastConfiguration(
  options: LocalOptions,
  layers: ChosenLayers | undefined,
): (Needing & Pick<Configuration, 'optimizer'>) | undefined {
  const { data, virtualShards, batchSize } = options;
  if (layers === undefined || (data !== undefined && layers.name !== 'mlp')) return undefined;
  const image = data === undefined ? MNIST_SHAPE : { rows: 1, columns: 1, classes: 2 };
  const model = modelFor(layers, image);
  checkExcess(model, { virtualShards, batchSize });
  return { model, virtualShards, batchSize, optimizer: optimizerOf(options) };
}

/** The address for workers on this machine; with TLS, its host is a name in the certificate. */
function urlOnThisMachine(
  certificate: OwnCertificate | undefined,
  host: string,
  port: number,
): string {
  if (certificate === undefined) return `ws://${reachableAt(host, port)}`;
  const isHere = isWildcard(host) || isLoopback(host);
  const name = (isHere ? certificate.names.find(isLoopback) : undefined) ?? host;
  return `wss://${reachableAt(name, port)}`;
}

interface Cluster {
  readonly coordinator: RestartingProcess;
  readonly workers: readonly RestartingProcess[];
  readonly minWorkers: number;
  readonly directory: string;
  readonly stopping: StopRequest;
  readonly log: Log;
}

/**
 * Resolves with the coordinator's exit code. If the run failed because too few workers were left,
 * resolves with the exit code of the first worker that failed; with ENGINE's if it crashed.
 */
async function supervise({
  coordinator,
  workers,
  minWorkers,
  directory,
  stopping,
  log,
}: Cluster): Promise<number> {
  let failure: number | undefined;
  let ending: Ending | undefined;
  stopping.listen((code) => {
    coordinator.stop(code);
    // A suspended worker would hold up the current step.
    for (const worker of workers) worker.resume();
    ending ??= endStopped({
      name: 'the coordinator',
      kill: () => coordinator.kill(),
      say: (line) => log.warn({}, line),
    });
  });
  process.on('exit', () => coordinator.kill());
  const group = new WorkerGroup({
    workers,
    minWorkers,
    log,
    showsLastLines: true,
    isOver: () => coordinator.hasEnded || stopping.code !== undefined,
    lost: (left) => coordinator.tell({ kind: 'expect', workers: left }),
    failed: (worker, code) => {
      failure = code;
      const lines = worker.lastLines();
      const output = lines.length === 0 ? '' : '; its last lines:';
      log.error({ worker: worker.name, code }, `${worker.name} ${exitText(code)}${output}`);
      for (const line of lines) log.error({ worker: worker.name }, `  ${line}`);
      stopping.stop('RUN_FAILED');
    },
  });
  const ended = await coordinator.ended;
  ending?.ended();
  const forced = ending?.isForced === true ? stopping.code : undefined;
  const code = forced === undefined ? ended : errorTable[forced].exit;
  // Workers exit on their own when the run has finished. If the coordinator failed, they would keep
  // retrying.
  await group.end(code !== 0);
  if (code !== errorTable.RUN_FAILED.exit || failure === undefined)
    return documentedExit(code, 'UNEXPECTED');
  // Workers whose bytes differ from the run's would be refused again.
  const isResumable = failure !== errorTable.FINGERPRINT.exit;
  if (isResumable && existsSync(join(directory, RECORD_FILE))) {
    log.error(
      { minWorkers },
      `too few workers are left (--min-workers ${minWorkers}); ` +
        `resume the run with: mnist-dist local --resume ${shellPath(directory)}`,
    );
  }
  return documentedExit(failure, 'ENGINE');
}

/**
 * Reserves --port if it is set; otherwise the default port or, if that is in use, any free port.
 */
async function holdRunPort(
  { host, port }: LocalOptions,
  explicit: ReadonlySet<OptionKey>,
  log: Log,
): Promise<ReservedPort> {
  try {
    return await reservePort(host, port);
  } catch (error) {
    if (
      !(error instanceof ClusterError) ||
      explicit.has('port') ||
      systemCode(error.cause) !== 'EADDRINUSE'
    )
      throw error;
    const held = await reservePort(host, 0);
    log.info({ port: held.port }, `port ${port} is in use; using port ${held.port}`);
    return held;
  }
}
