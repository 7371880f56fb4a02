import { join } from 'node:path';
import { announceRun } from '../discovery/announce-run.ts';
import { inheritedListener } from '../processes/child-process.ts';
import { silentViewer, viewers, type RunViewer } from '../../coordinator/viewer.ts';
import { drawingOf, hasReport } from '../runs/artifact-files.ts';
import type { Outcome } from '../../coordinator/decisions/effects.ts';
import { errorOf } from '../../coordinator/decisions/outcome.ts';
import { readRunRecord } from '../../coordinator/run-directory/read-run.ts';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/start-coordinator.ts';
import { newDataset, warnOfValidationSet } from '../runs/new-dataset.ts';
import { datasetOfRun, loadOwnDataset } from '../../shared/dataset/own-dataset.ts';
import type { Configuration } from '../../shared/configuration.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import { engineText } from '../../shared/engine-identity.ts';
import { ClusterError, messageOf, type ErrorCode } from '../../shared/errors.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { shortDigest } from '../../shared/printable.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { commandOf, type RunRecord } from '../../shared/files/run-schema.ts';
import { planStep, totalEpochs, totalSteps } from '../../shared/arithmetic/schedule.ts';
import type { Log } from '../terminal/log.ts';
import type { CommandLine, CoordinatorOptions, OptionKey } from '../options/options.ts';
import { JOIN_FILE } from '../../shared/files/run-layout.ts';
import { stdout } from '../terminal/output.ts';
import { loadMemoryAddon } from '../../worker/native/addons/memory.ts';
import { version } from '../package.ts';
import { shownRateOf } from '../../shared/arithmetic/learning-rate.ts';
import { configurationOfRecord } from '../../shared/configuration.ts';
import { checkArtifacts } from '../runs/check-artifacts.ts';
import { shortcomingOf } from '../../shared/evaluation/shortcoming.ts';
import { chooseLayers, modelFor, type ChosenLayers } from '../models/choose-layers.ts';
import {
  announceJoin,
  openOrStop,
  writeJoinFile,
  removeOwnJoinFile,
  tokenOfJoinFile,
} from '../secrets/join-command.ts';
import { pushFinishedRun } from '../../artifacts/store/push.ts';
import { retryPolicyOf } from '../runs/transfer.ts';
import { observe, type Observed } from '../runs/observe.ts';
import { TraceFile } from '../runs/trace-file.ts';
import { Trackers } from '../runs/track.ts';
import { judgingSet } from '../../shared/evaluation/judgement.ts';
import { adoptRun } from '../runs/resume.ts';
import { checkInitModel, chooseInit, type ChosenInit } from '../runs/choose-init.ts';
import { readOverview } from '../runs/run-overview.ts';
import { configurationOf, runSettings, startWorkersOf } from '../runs/run-settings.ts';
import { commandGiven, isSupervised } from '../processes/signals.ts';
import { onExpect, onStop, tell } from '../processes/supervised.ts';
import { shortcomingText } from '../terminal/summary.ts';
import { trainingCertificate, type OwnCertificate } from '../secrets/tls-files.ts';
import { openTerminal, type Progress } from '../terminal/live-terminal.ts';
import { generateToken, writeLoopbackToken } from '../secrets/generated-token.ts';
import { givenToken } from '../secrets/token.ts';

/** `mnist-dist coordinator`: coordinates one run, from waiting for workers to the result. */
export async function coordinator(
  given: CoordinatorOptions,
  { explicit, argv }: Pick<CommandLine, 'explicit' | 'argv'>,
): Promise<number> {
  tuneRuntime();
  const adopted = await adoptRun(given, explicit);
  const { logLevel, logFormat } = adopted;
  const terminal = openTerminal({
    output: stdout,
    logLevel,
    logFormat,
    isQuiet: !adopted.progress,
  });
  return await coordinate(adopted, explicit, {
    ...terminal,
    command: commandGiven(argv),
    hasOwnWorkers: isSupervised(),
    viewers: [],
    newDataset,
    start: startCoordinator,
    onStop,
    resumeCommand: (directory) =>
      `mnist-dist ${isSupervised() ? 'local' : 'coordinator'} --resume ${shellPath(directory)}`,
  });
}

/** What a run shares with its command: the terminal, requests to stop, and who starts workers. */
export interface Surroundings {
  readonly progress: Progress;
  readonly log: Log;
  /** The command that a user gave, as one line. */
  readonly command: string;
  /** Whether the caller starts the workers, so that no worker needs a join string. */
  readonly hasOwnWorkers: boolean;
  /** Viewers besides those that the options ask for. */
  readonly viewers: readonly RunViewer[];
  readonly newDataset: typeof newDataset;
  readonly start: typeof startCoordinator;
  readonly onStop: typeof onStop;
  readonly resumeCommand: (directory: string) => string;
}

/** Coordinates a run whose options have been adopted; resolves with the exit code. */
export async function coordinate(
  adopted: CoordinatorOptions,
  explicit: ReadonlySet<OptionKey>,
  surroundings: Surroundings,
): Promise<number> {
  const terminal = surroundings;
  let release = (): void => undefined;
  try {
    const certificate = trainingCertificate(adopted);
    await checkArtifacts(adopted, terminal.log);
    const { dataset, data, layers, recordedInit, recordedCommand } = await datasetOf(
      adopted,
      surroundings,
    );
    // That of the first coordinator says more than "--resume".
    const command = recordedCommand ?? surroundings.command;
    const options = { ...adopted, data };
    const model = modelFor(layers, {
      rows: dataset.rows,
      columns: dataset.columns,
      classes: dataset.classNames.length,
    });
    const init = await initFor(options, model, terminal.log);
    const configuration = configurationOf(options, model, dataset, init?.digest ?? recordedInit);
    if (options.resume === undefined) warnOfValidationSet(dataset, configuration, terminal.log);
    if (judgingSet(configuration) === 'test')
      terminal.log.warn(
        {},
        'the test set decides when the run stops, so its result is too good: set ' +
          '--validation-split to hold out other samples',
      );
    const trackers = new Trackers(options, configuration, terminal.log);
    const traceFile =
      options.trace === undefined
        ? undefined
        : new TraceFile(options.trace, options.traceSteps, terminal.log);
    const observed = await observe(options, explicit, configuration, dataset, {
      command,
      log: terminal.log,
    });
    if (observed !== undefined) tell({ kind: 'page', port: observed.port });
    const hurry = new AbortController();
    try {
      return await train({
        options,
        certificate,
        dataset,
        configuration,
        init: init?.weights,
        observed,
        trackers,
        traceFile,
        hurry,
        ...surroundings,
        command,
        onStop: (stop) => (release = surroundings.onStop(stop)),
      });
    } finally {
      await Promise.all([
        observed?.close(hurry.signal),
        trackers.close(hurry.signal),
        traceFile?.close(),
      ]);
    }
  } finally {
    release();
    terminal.progress.close();
  }
}

interface DataAndLayers {
  readonly dataset: Dataset;
  /** The folder to record for the dataset. */
  readonly data: string | undefined;
  readonly layers: Pick<ChosenLayers, 'name' | 'layers' | 'lines'>;
  /** The digest of the weights that a resumed run began with; undefined if its seed drew them. */
  readonly recordedInit: string | undefined;
  /** The command that a resumed run was started with, if its version recorded it. */
  readonly recordedCommand: string | undefined;
}

/** The dataset and the layers for a new or a resumed run. */
async function datasetOf(
  options: CoordinatorOptions,
  surroundings: Surroundings,
): Promise<DataAndLayers> {
  const { data, resume } = options;
  if (resume === undefined) {
    const layers = chooseLayers(options);
    const dataset = await surroundings.newDataset(options, surroundings.log);
    return { dataset, data, layers, recordedInit: undefined, recordedCommand: undefined };
  }
  const record = await readRunRecord(resume);
  const own = datasetOfRun(resume, record);
  const { model, init } = record.configuration;
  const { layers } = model;
  return {
    dataset: await loadOwnDataset(own, data),
    data: data ?? own.folder,
    layers: { name: resume, layers, lines: [] },
    recordedInit: init,
    recordedCommand: commandOf(record),
  };
}

/** The weights that a new run begins with, if they are given; a resumed run has its own. */
async function initFor(
  options: CoordinatorOptions,
  model: ModelShape,
  log: Log,
): Promise<ChosenInit | undefined> {
  const init = await chooseInit(options);
  if (init === undefined) return undefined;
  checkInitModel(init, model);
  const { name, digest } = init;
  log.info(
    { init: name, sha256: digest },
    `starting with the weights of ${name} (SHA-256 ${shortDigest(digest)})`,
  );
  return init;
}

interface Training extends Surroundings {
  readonly options: CoordinatorOptions;
  readonly certificate: OwnCertificate | undefined;
  readonly dataset: Dataset;
  readonly configuration: Configuration;
  readonly init: Float32Array | undefined;
  readonly observed: Observed | undefined;
  readonly trackers: Trackers;
  readonly traceFile: TraceFile | undefined;
  /**
   * Aborted by Ctrl-C once the run has ended, which ends the upload, the wait for a scrape and the
   * last transfers of trackers.
   */
  readonly hurry: AbortController;
}

async function train(training: Training): Promise<number> {
  const { options, certificate, dataset, configuration, init } = training;
  const { observed, trackers, traceFile, hurry, command, progress, log } = training;
  const ownToken = givenToken(options.tokenFile, process.env);
  const { resume } = options;
  const keptToken = resume === undefined ? undefined : tokenOfJoinFile(join(resume, JOIN_FILE));
  const token = ownToken ?? keptToken ?? generateToken();
  if (ownToken === undefined && keptToken !== undefined)
    log.info({}, 'workers may still use the join string from before the crash');
  const terminal = viewerOf(configuration, progress, log);
  const draw = options.pictures ? drawingOf(dataset) : undefined;
  const run = await training.start(
    {
      ...runSettings(options, command),
      configuration,
      init,
      dataset,
      token,
      version,
      trace: traceFile?.trace,
      tls: certificate,
      draw,
      memoryAddon: options.sharedMemory ? loadMemoryAddon() : undefined,
      descriptor: inheritedListener(),
      listening:
        ownToken === undefined
          ? (port) => writeLoopbackToken(options.host, port, token).remove
          : undefined,
    },
    viewers(
      [
        terminal,
        ...(observed === undefined ? [] : [observed.viewer]),
        ...trackers.viewers,
        ...training.viewers,
        ...(traceFile === undefined ? [] : [traceFile.viewer]),
      ],
      (viewer, error) => {
        if (viewer === observed?.viewer) observed.fail(error);
        else if (!trackers.fail(viewer, error))
          log.error(
            { err: error },
            `the terminal no longer shows progress; the run continues: ${messageOf(error)}`,
          );
      },
    ),
  );
  tell({ kind: 'ready' });
  onExpect((workers) => run.expect(workers));
  observed?.attach(run);
  progress.attach(() => run.inspect());
  let isOver = false;
  let stopped: ErrorCode | undefined;
  training.onStop((code) => {
    stopped = code;
    if (isOver) hurry.abort(new ClusterError(code, 'stopped'));
    else run.stop(code);
  });
  announce(training, run.directory);
  const removeJoinFile = await openOrStop(run, () =>
    publishJoin(training, run, token, ownToken === undefined),
  );
  let stopAnnouncing = (): void => undefined;
  try {
    if (options.announce) stopAnnouncing = await announceRun(options, certificate, run, log);
    const { outcome, record } = await run.done
      .finally(() => (isOver = true))
      .catch((error: unknown) => {
        // The coordinator failed before it could notify the page.
        observed?.viewer.ended({ state: 'failed', code: 'RUN_FAILED', message: messageOf(error) });
        throw error;
      });
    if (outcome.code !== undefined)
      throw errorOf(outcome.code, withResumeHint(outcome, training.resumeCommand(run.directory)));
    // The signal came too late to stop the run, but it still ends the upload and the wait for a
    // scrape.
    if (stopped !== undefined) hurry.abort(new ClusterError(stopped, 'stopped'));
    const isDrawn = hasReport(run.directory);
    await summarize(training, run.directory, record, isDrawn);
    await upload(run.directory, options.artifacts, hurry.signal, log);
    if (options.pictures && !isDrawn) throw notDrawn(run.directory);
    return 0;
  } finally {
    stopAnnouncing();
    removeJoinFile();
    const { httpLinger } = options;
    if (observed !== undefined && httpLinger > 0)
      log.info(
        {},
        `waiting at most ${httpLinger} s for one more scrape (--http-linger; Ctrl-C ends the wait)`,
      );
  }
}

/** Adds the command that resumes an interrupted run, or a run that too few workers joined. */
function withResumeHint(outcome: Outcome, command: string): Outcome {
  if (outcome.state !== 'interrupted' && outcome.code !== 'RENDEZVOUS') return outcome;
  const hint = `resume it with: ${command}`;
  return { ...outcome, fix: outcome.fix === undefined ? hint : `${outcome.fix}; ${hint}` };
}

/** Writes the join file and prints how workers join; returns a function that removes the file. */
function publishJoin(
  { options, certificate, hasOwnWorkers, log }: Training,
  { port, directory }: RunningCoordinator,
  token: string,
  isGenerated: boolean,
): () => void {
  const joinFile = join(directory, JOIN_FILE);
  // `local` has passed the address and the token to its workers.
  if (hasOwnWorkers) {
    removeOwnJoinFile(joinFile);
    return () => undefined;
  }
  const { host, advertise, logFormat } = options;
  const endpoint = { host, advertise, port, certificate, token };
  const removeJoinFile = writeJoinFile(joinFile, endpoint);
  const workers = startWorkersOf(options);
  const isShown = stdout.isTerminal && logFormat === 'text';
  announceJoin(
    endpoint,
    workers === 1 ? 'a worker' : `${workers} workers`,
    { sameUser: isGenerated, joinFile, isShown },
    log,
  );
  return removeJoinFile;
}

function notDrawn(directory: string): ClusterError {
  return new ClusterError('DISK', `${directory} is complete except for its report and pictures`, {
    fix:
      'see the log for the reason; to create them without the training curves, run: ' +
      `mnist-dist eval ${shellPath(directory)}`,
  });
}

/**
 * Uploads the results to the store given by --artifacts. Rejects with STORE and a command to retry.
 */
async function upload(
  directory: string,
  uri: string | undefined,
  signal: AbortSignal,
  log: Log,
): Promise<void> {
  if (uri === undefined) return;
  const stored = await pushFinishedRun(directory, uri, retryPolicyOf(signal, log));
  log.info({ uri: stored.uri }, `the results are at ${stored.uri}`);
}

function announce(
  { options, observed, trackers, progress, log }: Training,
  directory: string,
): void {
  log.info({ run: directory }, `run ${directory}`);
  if (observed !== undefined) {
    log.info({ page: observed.url }, `watch it at ${observed.url}`);
    progress.page(observed.url);
  }
  trackers.announce(directory);
  const { virtualShards } = options;
  const workers = startWorkersOf(options);
  if (workers > virtualShards) {
    log.warn(
      { workers, virtualShards },
      `${workers} workers, but a batch has ${virtualShards} shards: ` +
        `${workers - virtualShards} stand by (--virtual-shards)`,
    );
  }
}

function viewerOf(configuration: Configuration, progress: Progress, log: Log): RunViewer {
  const [epochs, steps] = [totalEpochs(configuration), totalSteps(configuration)];
  return {
    ...silentViewer,
    step: (report) => progress.step({ ...report, epochs, totalSteps: steps }),
    evaluation: (report) => progress.evaluation(report),
    event: (event) => progress.event(event),
    log: (level, message, fields) => log[level](fields, message),
    started: () => tell({ kind: 'started' }),
  };
}

async function summarize(
  { progress, log }: Training,
  runDirectory: string,
  record: RunRecord,
  isDrawn: boolean,
): Promise<void> {
  const { result, engine, dataset, model } = record;
  if (result === undefined || model === undefined) return;
  const configuration = configurationOfRecord(record.configuration);
  // For a resumed run, these figures include those of its earlier coordinators.
  const { seconds, waited, workers, firstLoss } = await readOverview(
    runDirectory,
    record.run,
    Date.now(),
  );
  progress.summary({
    runDirectory,
    hasReport: isDrawn,
    engine: engine === undefined ? 'none' : engineText(engine.description),
    workers,
    seconds,
    waited,
    steps: record.step,
    lastRate: shownRateOf(configuration, record.step),
    stepsPerSecond: result.steps_per_second ?? undefined,
    best: model.step === undefined ? undefined : bestText(configuration, model.step),
    test: { ...result.test, classNames: dataset.class_names },
    modelSha256: model.sha256,
  });
  const shortcoming = shortcomingOf(result.test, firstLoss);
  if (shortcoming !== undefined)
    log.warn(
      { shortcoming },
      shortcomingText(shortcoming, result.test, record.configuration.learning_rate),
    );
}

function bestText(configuration: Configuration, step: number): string {
  return `epoch ${planStep(configuration, step).epoch} (step ${step})`;
}
