import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { sweepSvg } from '../../artifacts/report/sweep-picture.ts';
import { light } from '../../artifacts/report/colours.ts';
import { frameBytesOf } from '../../coordinator/serve.ts';
import { checkRunId } from '../../coordinator/run-directory/run-directory.ts';
import { makeDirectories, writeWhole } from '../../shared/disk/whole-file.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { RECORD_FILE, SWEEP_PICTURE } from '../../shared/files/run-layout.ts';
import { setAfterEpochs } from '../../shared/evaluation/evaluated-set.ts';
import { tuneRuntime } from '../../shared/runtime.ts';
import { commandText, shellPath } from '../../shared/shell-word.ts';
import type { CommandLine, OptionKey, SweepOptions } from '../options/options.ts';
import { version } from '../package.ts';
import { onStop, StopRequest } from '../processes/supervised.ts';
import { planWorkers, type WorkerPlan } from '../processes/worker-plan.ts';
import { sharedDatasets } from '../sweep/shared-datasets.ts';
import { configurationOfTrial, planTrial, type PlannedTrial } from '../sweep/planned-trial.ts';
import { pictureOf } from '../sweep/sweep-panels.ts';
import { readSweepFile, sweepNameOf, type SweepFile } from '../sweep/sweep-file.ts';
import {
  checkSameSweep,
  readSweepRecord,
  sweepRecordOf,
  writeSweepRecord,
  type SweepRecord,
} from '../sweep/sweep-record.ts';
import { reportLines, reportOf, reportRows, type SweepReport } from '../sweep/sweep-report.ts';
import { SweepCluster } from '../sweep/sweep-cluster.ts';
import type { SweepContext } from '../sweep/run-trial.ts';
import { runTrials } from '../sweep/run-trials.ts';
import { isOver, readResults } from '../sweep/trial-results.ts';
import { trialsOf } from '../sweep/trials.ts';
import { createLogger, type Log } from '../terminal/log.ts';
import { openScreen } from '../terminal/live-terminal.ts';
import { stderr, stdout } from '../terminal/output.ts';

type SweepCommandLine = Pick<CommandLine, 'explicit' | 'operands' | 'argv'>;

/**
 * `mnist-dist sweep`: trains a run for each combination of options, one after the other, and
 * compares them. Continues a sweep that was interrupted.
 */
export async function sweep(
  options: SweepOptions,
  { explicit, operands: [path = ''], argv }: SweepCommandLine,
): Promise<number> {
  tuneRuntime();
  const output = options.format === 'text' ? stdout : stderr;
  const log = createLogger({
    level: options.logLevel,
    format: options.logFormat,
    destination: output,
  });
  const file = readSweepFile(path);
  const trials = trialsOf(file).map((trial) => planTrial(file, trial));
  const name = options.runId ?? sweepNameOf(path);
  checkRunId(name);
  const directory = join(options.runsDir, name);
  refuseRun(directory);
  const recorded = await readSweepRecord(directory);
  const engine = engineOf(options, explicit, recorded, directory);
  if (recorded !== undefined)
    checkSameSweep(
      directory,
      sweepRecordOf(file, trials, { ...recorded, stop_after: options.stopAfter }),
      recorded,
    );
  // Must come before the first child process starts: Ctrl-C must end all of them.
  const stopping = new StopRequest();
  onStop((code) => stopping.stop(code));
  const left = recorded === undefined ? trials : await unfinished(trials, directory, recorded);
  if (recorded === undefined || left.length > 0) {
    const settled = { ...options, engine };
    await train({ file, trials, left, directory, options: settled, stopping, argv, log });
  }
  await finish(file, directory, options, log);
  return 0;
}

interface Sweep {
  readonly file: SweepFile;
  readonly trials: readonly PlannedTrial[];
  /** Those whose runs have not ended. */
  readonly left: readonly PlannedTrial[];
  readonly directory: string;
  readonly options: SweepOptions;
  readonly stopping: StopRequest;
  readonly argv: readonly string[];
  readonly log: Log;
}

/** Starts the workers and trains the trials that are left. */
async function train(all: Sweep): Promise<void> {
  const { file, trials, left, directory, options, stopping, argv, log } = all;
  const { logFormat, stopAfter } = options;
  const plans = await planWorkers(options, log);
  const newDataset = sharedDatasets(log);
  const frameBytes = await checkTrials(left, { plans, options, newDataset, log });
  await makeDirectories(directory);
  const settings = { version, engine: kindOf(plans), stop_after: stopAfter };
  const record = sweepRecordOf(file, trials, settings);
  await writeSweepRecord(directory, record);
  const screen = openScreen({
    output: options.format === 'text' ? stdout : stderr,
    logFormat,
    logLevel: options.logLevel === 'debug' ? 'debug' : 'warn',
    isQuiet: !options.progress,
  });
  const command = commandText(argv);
  const cluster = await SweepCluster.open({
    plans,
    frameBytes,
    options,
    stopping,
    log: screen.log,
  });
  const context = { directory, options, cluster, stopping, newDataset, screen, command };
  let hasFailed = true;
  try {
    await runTrials(trials, { ...context, record, log });
    hasFailed = false;
  } finally {
    await cluster.close(hasFailed);
  }
}

/** The trials whose runs have not ended. */
async function unfinished(
  trials: readonly PlannedTrial[],
  directory: string,
  record: SweepRecord,
): Promise<PlannedTrial[]> {
  const results = await readResults(directory, record);
  return trials.filter((_, i) => {
    const result = results[i];
    return result === undefined || !isOver(result);
  });
}

interface Checked {
  readonly plans: readonly WorkerPlan[];
  readonly options: SweepOptions;
  readonly newDataset: SweepContext['newDataset'];
  readonly log: Log;
}

/** Checks all trials before the first one begins, and returns the size of their largest frame. */
async function checkTrials(
  trials: readonly PlannedTrial[],
  { plans, options, newDataset, log }: Checked,
): Promise<number> {
  const engine = kindOf(plans);
  const { maxMemoryBytes } = options;
  const sets = new Set<string>();
  let frameBytes = 0;
  for (const trial of trials) {
    const dataset = await newDataset(trial.options, log);
    const configuration = configurationOfTrial(trial, dataset, { engine, maxMemoryBytes });
    sets.add(setAfterEpochs(configuration));
    frameBytes = Math.max(frameBytes, frameBytesOf(configuration));
  }
  if (sets.size > 1)
    throw new ClusterError('USAGE', 'some trials have a validation set and others have none', {
      fix: 'set validation-split under "options", for all trials',
    });
  if (sets.has('test') && options.stopAfter !== undefined)
    throw new ClusterError('USAGE', '--stop-after needs a validation set: the trials have none', {
      fix: 'set "validation-split: 0.1" under "options", or leave out --stop-after',
    });
  if (sets.has('test'))
    log.warn(
      {},
      'the test set decides which trial is best, so its result is too good: set ' +
        '"validation-split: 0.1" under "options" to hold out other samples',
    );
  return frameBytes;
}

/** The kind of engine that all workers have. */
function kindOf([first]: readonly WorkerPlan[]): EngineKind {
  assert(first !== undefined, 'a sweep has at least one worker');
  return first.engine;
}

/** The engine to plan workers with: a sweep that is continued keeps its own. */
function engineOf(
  { engine }: SweepOptions,
  explicit: ReadonlySet<OptionKey>,
  recorded: SweepRecord | undefined,
  directory: string,
): SweepOptions['engine'] {
  if (recorded === undefined) return engine;
  if (engine === 'auto' || engine === recorded.engine) return recorded.engine;
  throw new ClusterError(
    'USAGE',
    `${directory} was started with --engine ${recorded.engine}, not ${engine}`,
    {
      fix: explicit.has('engine')
        ? 'leave out --engine, or set --run-id to begin a new sweep'
        : 'set --run-id to begin a new sweep',
    },
  );
}

/** Throws RUN_EXISTS if the sweep's folder is a run. */
function refuseRun(directory: string): void {
  if (!existsSync(join(directory, RECORD_FILE))) return;
  throw new ClusterError('RUN_EXISTS', `${directory} is a run, not a sweep`, {
    fix: 'set --run-id to another name for the sweep',
  });
}

/** Draws the picture and prints the results. */
async function finish(
  file: SweepFile,
  directory: string,
  { format }: SweepOptions,
  log: Log,
): Promise<void> {
  const record = await readSweepRecord(directory);
  if (record === undefined) throw new ClusterError('DATA', `${directory} has no sweep.json`);
  const results = await readResults(directory, record);
  const report = reportOf(directory, record.vary, results);
  const picture = join(directory, SWEEP_PICTURE);
  if (report.best !== undefined)
    await writeWhole(picture, sweepSvg(pictureOf(file, report), light));
  switch (format) {
    case 'json':
      return stdout.json(report);
    case 'csv':
      return stdout.csv(...reportRows(report));
    case 'text':
      stdout.write('', ...reportLines(report), ...hints(report, picture));
      log.debug({ sweep: directory }, 'the sweep has ended');
  }
}

function hints({ directory, best }: SweepReport, picture: string): string[] {
  if (best === undefined) return [];
  const run = shellPath(join(directory, best));
  return [
    '',
    `picture  ${picture}`,
    `best     ${join(directory, best)}`,
    `report   mnist-dist eval ${run}`,
    `verify   mnist-dist verify ${run}`,
  ];
}
