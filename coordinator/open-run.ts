import { join } from 'node:path';
import { systemDisk, type Disk } from '../shared/disk/disk.ts';
import type { Checkpoint, Shares } from '../shared/files/checkpoint-file.ts';
import { firstLink } from '../shared/files/chain.ts';
import {
  configurationOfRecord,
  differingSettings,
  type Configuration,
} from '../shared/configuration.ts';
import { ClusterError } from '../shared/errors.ts';
import { hasStoppedEarly, judgingSet } from '../shared/evaluation/judgement.ts';
import type { RunRecord } from '../shared/files/run-schema.ts';
import { totalSteps } from '../shared/arithmetic/schedule.ts';
import type { Dataset } from '../shared/dataset/dataset.ts';
import {
  isPerhapsMixed,
  reaches,
  refuseOldArithmetic,
  type RecordedLines,
} from './run-directory/read-run.ts';
import { readInit } from './run-directory/init-weights.ts';
import { systemProcesses } from './run-directory/processes.ts';
import type { Draw, ResumedRecord } from './recorder-options.ts';
import { Recorder } from './recorder.ts';
import type { RunContext } from './serve.ts';
import { earlyText } from './decisions/close-step.ts';
import { beginning, type Resumed } from './decisions/state.ts';
import type { LockEnvironment } from './run-directory/run-lock.ts';
import { RunFiles, type FoundRun, type ReopenedRun } from './run-directory/run-files.ts';
import type { RunViewer } from './viewer.ts';
import { METRICS_FILE } from '../shared/files/run-layout.ts';

export interface OpenSettings {
  readonly configuration: Configuration;
  readonly dataset: Dataset;
  readonly version: string;
  readonly launch: RunRecord['launch'];
  readonly runsDir: string;
  readonly runId: string | undefined;
  /**
   * The weights that a new run begins with, whose digest is in the configuration; undefined if the
   * seed draws them.
   */
  readonly init?: Float32Array | undefined;
  /** The directory of the run to resume; undefined starts a new run. */
  readonly resume: string | undefined;
  /** Resume even if another host holds the lock. */
  readonly takeOver: boolean;
  /** The number of checkpoints to keep. */
  readonly keepCheckpoints: number;
  /** See RecorderOptions. */
  readonly draw?: Draw | undefined;
}

/** An open run directory, and where the run resumes. */
interface OpenRun {
  readonly files: RunFiles;
  readonly term: number;
  /**
   * The recorded state of a resumed run; undefined for a new run. Without a checkpoint the run
   * starts again from its initial weights.
   */
  readonly old: Omit<ReopenedRun, 'files'> | undefined;
  /** The initial weights; undefined if the seed draws them, or if they are no longer needed. */
  readonly init: Float32Array | undefined;
}

/**
 * Creates the directory of a new run, or opens the directory of a run to resume and restores the
 * tensors of its newest intact checkpoint. Rejects with USAGE, RUN_EXISTS, LOCKED, DATA or DISK.
 */
export async function openRecorder(
  settings: OpenSettings,
  { tensors, predictions, clock, fail }: RunContext,
  viewer: RunViewer,
  { disk, processes }: Omit<LockEnvironment, 'clock'> = {
    disk: systemDisk,
    processes: systemProcesses,
  },
): Promise<Recorder> {
  const { configuration } = settings;
  const environment = { disk: tellingOfNoSync(disk, viewer), processes, clock };
  const run = await openRun(settings, environment, fail, viewer);
  const { files, term, old, init } = run;
  if (old?.checkpoint !== undefined) tensors.restore(old.checkpoint);
  else if (init !== undefined) tensors.restoreWeights(init);
  return new Recorder({
    ...settings,
    files,
    viewer,
    predictions,
    term,
    clock: clock.now,
    date: clock.date,
    after: (milliseconds, task) => clock.after(milliseconds, task),
    snapshot: () => tensors.snapshot(),
    onTakenOver: fail,
    record: resumedRecord(run, tensors.checksum),
    resumed: resumedState(run, configuration),
  });
}

/** Wraps the disk to warn once if its file system cannot sync folders. */
function tellingOfNoSync(disk: Disk, viewer: RunViewer): Disk {
  let isTold = false;
  const syncDirectory = async (path: string): Promise<boolean> => {
    const isSynced = await disk.syncDirectory(path);
    if (isSynced || isTold) return isSynced;
    isTold = true;
    const what = "cannot sync folders: the run's newest files may be missing after a power cut";
    viewer.log('warn', `the file system of ${path} ${what}`, {});
    return false;
  };
  return { ...disk, syncDirectory };
}

async function openRun(
  settings: OpenSettings,
  environment: LockEnvironment,
  onError: (error: ClusterError) => void,
  viewer: RunViewer,
): Promise<OpenRun> {
  const { resume: directory, keepCheckpoints, takeOver } = settings;
  const onSpace = (isFull: boolean, message: string) =>
    viewer.log(isFull ? 'warn' : 'info', message, {});
  const options = { ...environment, keepCheckpoints, onError, onSpace };
  if (directory === undefined) {
    const { runsDir: runs, runId } = settings;
    const files = await RunFiles.create({ runs, runId, ...options });
    const { init, configuration } = settings;
    if (init !== undefined)
      await closedOnError(files, () => files.writeInit(configuration.model, init));
    return { files, term: 1, old: undefined, init };
  }
  let hasSkipped = false;
  const { files, ...old } = await RunFiles.resume({
    ...options,
    directory,
    takeOver,
    damaged: (error) => {
      hasSkipped = true;
      viewer.log('warn', `skipping a checkpoint: ${error.message}`, {});
    },
    selectLines: (found) => {
      checkResumable(settings, directory, found, hasSkipped);
      const { record, written } = found;
      const mayMix = settings.launch['allow_mixed_engines'] === true;
      // Steps that mixed engines recompute may differ from the recorded lines.
      return mayMix || isPerhapsMixed(record) ? { ...written, later: [] } : written;
    },
  });
  const init = await closedOnError(files, async () => {
    const weights = await initOf(directory, old, environment.disk, viewer);
    await files.removeArtifacts();
    return weights;
  });
  const term = old.record.term + 1;
  const step = old.checkpoint?.step ?? 0;
  viewer.log('info', `resuming after step ${step} (term ${term})`, { step });
  return { files, term, old, init };
}

async function closedOnError<T>(files: RunFiles, use: () => Promise<T>): Promise<T> {
  try {
    return await use();
  } catch (error) {
    // The first error is the one to report.
    await files.close().catch(() => undefined);
    throw error;
  }
}

/**
 * The given weights that a resumed run begins with. With a checkpoint it does not need them, so
 * that it only warns if `verify` will not find them.
 */
async function initOf(
  directory: string,
  { record, checkpoint }: Omit<ReopenedRun, 'files'>,
  disk: Disk,
  viewer: RunViewer,
): Promise<Float32Array | undefined> {
  try {
    return await readInit(directory, configurationOfRecord(record.configuration), disk);
  } catch (error) {
    if (checkpoint === undefined || !(error instanceof ClusterError)) throw error;
    viewer.log('warn', `verify cannot recompute this run: ${error.message}`, {});
    return undefined;
  }
}

/** Throws USAGE if the run cannot be resumed as requested, and DATA if lines are missing. */
function checkResumable(
  { configuration }: OpenSettings,
  directory: string,
  { record, checkpoint, written }: FoundRun,
  hasSkipped: boolean,
): void {
  refuseOldArithmetic(record, directory);
  const differing = differingSettings(configuration, configurationOfRecord(record.configuration));
  if (differing.length > 0) {
    throw new ClusterError(
      'USAGE',
      `${directory} has a different configuration (run.json): ${differing.join('; ')}`,
      { fix: 'leave these settings out: the run keeps its own' },
    );
  }
  // A diverged run may have no checkpoint, and loses nothing by starting again. A run that can use
  // none of its checkpoints computes all steps again, and compares them with the recorded ones.
  const startsAgain = record.step === 0 || record.state === 'diverged' || hasSkipped;
  if (checkpoint === undefined && !startsAgain) throw noCheckpoint(directory, record);
  if (checkpoint !== undefined && !reaches(written, checkpoint))
    throw missingLines(directory, checkpoint, written);
  const step = checkpoint?.step ?? 0;
  const steps = totalSteps(configuration);
  if (step > steps) {
    throw new ClusterError(
      'USAGE',
      `the run has already completed ${step} steps; ${steps} are too few`,
      {
        fix: 'set a higher --steps or --epochs',
      },
    );
  }
  const early = checkpoint && earlyEndAt(checkpoint, configuration);
  if (early !== undefined && record.state === 'finished') {
    throw new ClusterError('USAGE', `${directory} is finished: ${early} (--resume)`, {
      fix: 'a run that stopped early stays stopped, also with more --epochs: start a new run',
    });
  }
  if (record.state === 'finished' && step === steps) {
    throw new ClusterError('USAGE', `${directory} is finished (--resume)`, {
      fix: 'extend it with a higher --epochs or --steps',
    });
  }
}

/**
 * The error for a run without checkpoints, such as one pulled from a store: its steps would be
 * lost.
 */
function noCheckpoint(directory: string, { state, step }: RunRecord): ClusterError {
  return new ClusterError(
    'USAGE',
    `${directory} is ${state} at step ${step} (run.json), but checkpoints/ has no ` +
      'checkpoint to resume from (--resume)',
    {
      fix:
        'resume it on the machine where it ran (a store does not keep checkpoints), or start ' +
        'a new run',
    },
  );
}

/**
 * The error for a metrics.jsonl that ends before the checkpoint, although a checkpoint is written
 * after its lines.
 */
function missingLines(
  directory: string,
  { step }: Checkpoint,
  { covered, later }: RecordedLines,
): ClusterError {
  const last = (later.at(-1) ?? covered)?.line.step ?? 0;
  return new ClusterError(
    'DATA',
    `${join(directory, METRICS_FILE)} ends at step ${last}, before the checkpoint of step ` +
      `${step}: lines are missing`,
    {
      fix:
        'copy the run again while no coordinator is writing to it; or, if there are older ' +
        `checkpoints, remove those after step ${last}: the missing steps are then recomputed`,
    },
  );
}

/** Where the recorder resumes; `weights` is the checksum of the restored weights. */
function resumedRecord({ old }: OpenRun, weights: bigint): ResumedRecord | undefined {
  if (old === undefined) return undefined;
  const { checkpoint } = old;
  const step = checkpoint?.step ?? 0;
  const chain = checkpoint?.chain ?? firstLink(configurationOfRecord(old.record.configuration));
  return {
    started: old.record.started,
    step,
    chain,
    weights,
    lines: old.lines,
    events: old.events,
  };
}

/** Where the reducers resume. */
function resumedState({ old }: OpenRun, configuration: Configuration): Resumed | undefined {
  if (old?.checkpoint === undefined) return old && repeating(old, configuration);
  const { checkpoint } = old;
  const { step, fingerprint } = checkpoint;
  // A run that was killed at its very end recomputes its result.
  const isEarly = earlyEndAt(checkpoint, configuration) !== undefined;
  const isAtEnd = step === totalSteps(configuration) || isEarly;
  const evaluated = isAtEnd ? { ...checkpoint.evaluated, test: 0 } : checkpoint.evaluated;
  const { engine, suspects = [] } = old.record;
  const { from, samples } = sharesOf(checkpoint, old.record);
  return {
    step,
    evaluated,
    judgement: checkpoint.judgement,
    repeated: repeatedSteps(old.lines, configuration),
    fingerprint,
    engine: engine?.description,
    mixed: isPerhapsMixed(old.record),
    delivered: samples,
    countedFrom: from,
    suspects,
  };
}

/**
 * The beginning of a run without a checkpoint, if its lines contain evaluations that count for
 * early stopping.
 */
function repeating(
  { lines }: Pick<ReopenedRun, 'lines'>,
  configuration: Configuration,
): Resumed | undefined {
  const repeated = repeatedSteps(lines, configuration);
  return repeated.size === 0 ? undefined : { ...beginning, repeated };
}

/** Why a run ended at this checkpoint, before its last step; undefined if it did not. */
function earlyEndAt({ judgement }: Checkpoint, configuration: Configuration): string | undefined {
  if (judgement === undefined || !hasStoppedEarly(judgement, configuration)) return undefined;
  return earlyText(judgement, configuration);
}

/** The steps of the evaluations after the checkpoint that count for early stopping. */
function repeatedSteps({ later }: RecordedLines, configuration: Configuration): Set<number> {
  const set = judgingSet(configuration);
  return new Set(
    later.flatMap(({ line }) =>
      line.kind === 'evaluation' && line.set === set ? [line.step] : [],
    ),
  );
}

/**
 * The samples per worker at a checkpoint. Older versions did not store them in checkpoints. In that
 * case, run.json lists them if the run ended at this checkpoint.
 */
function sharesOf({ step, shares }: Checkpoint, record: RunRecord): Shares {
  if (shares !== undefined) return shares;
  if (record.step !== step) return { from: step, samples: new Map() };
  const samples = new Map(record.workers.map((worker) => [worker.name, worker.samples]));
  return { from: record.workers_from_step ?? 0, samples };
}
