import { basename, join } from 'node:path';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/start-coordinator.ts';
import { silentViewer, type EvaluationReport, type RunViewer } from '../../coordinator/viewer.ts';
import { totalSteps } from '../../shared/arithmetic/schedule.ts';
import { coordinate } from '../commands/coordinator.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { newDataset } from '../runs/new-dataset.ts';
import { adoptRun } from '../runs/resume.ts';
import { RUN_DIRECTORY } from '../runs/track.ts';
import { createProgress, type Progress, type ProgressOptions } from '../terminal/live-terminal.ts';
import type { SweepOptions } from '../options/options.ts';
import type { StopRequest } from '../processes/supervised.ts';
import type { PlannedTrial } from './planned-trial.ts';
import type { SweepCluster } from './sweep-cluster.ts';
import type { EpochScore, TrialResult } from './trial-results.ts';

/** Decides after an evaluation whether a trial stops. */
export type StopRule = (evaluations: readonly EpochScore[]) => boolean;

/** What all trials of a sweep share. */
export interface SweepContext {
  /** The folder of the sweep, which is the runs directory of its trials. */
  readonly directory: string;
  readonly options: SweepOptions;
  readonly cluster: SweepCluster;
  readonly stopping: StopRequest;
  readonly newDataset: typeof newDataset;
  /** With the log of the trials, which has only warnings unless --log-level is debug. */
  readonly screen: ProgressOptions;
  /** The command that continues the sweep. */
  readonly command: string;
}

/**
 * Trains a trial from where its run is, until it is finished or `rule` stops it. Rejects with the
 * run's error, or with that of its workers; a run that has diverged is a result.
 */
export async function runTrial(
  { run, options, explicit }: PlannedTrial,
  { state, evaluations }: TrialResult,
  rule: StopRule | undefined,
  context: SweepContext,
): Promise<void> {
  const { stopping, screen, cluster } = context;
  const { log } = screen;
  const place = placeOf(run, state, context);
  const watch = rule === undefined ? undefined : new Watch(rule, evaluations);
  try {
    const outside = sharedPlaces(options, basename(context.directory));
    const adopted = await adoptRun({ ...options, ...place, ...outside }, explicit);
    await coordinate(adopted, explicit, {
      log,
      progress: quiet(createProgress(screen)),
      command: context.command,
      hasOwnWorkers: true,
      viewers: watch === undefined ? [] : [watch.viewer],
      newDataset: context.newDataset,
      start: async (settings, viewer) => {
        const { reception, token } = cluster;
        const own = { reception, token, listening: undefined, descriptor: undefined };
        const running = await startCoordinator({ ...settings, ...own }, viewer);
        cluster.begin(running);
        watch?.attach(running, totalSteps(settings.configuration));
        return running;
      },
      onStop: (stop) => {
        stopping.listen((code) => {
          stop(code);
          cluster.resume();
        });
        return () => stopping.listen(() => undefined);
      },
      resumeCommand: () => context.command,
    });
  } catch (error) {
    if (error instanceof ClusterError && isResult(error)) return;
    throw named(run, cluster.failure ?? error);
  } finally {
    cluster.end();
  }
}

function isResult({ code }: ClusterError): boolean {
  return code === 'DIVERGED' || code === 'STOPPED';
}

/** Follows the evaluations of a trial, and stops it after the one that the rule says. */
class Watch {
  readonly viewer: RunViewer;
  readonly #rule: StopRule;
  /** By epoch: a resumed run repeats some of them. */
  readonly #evaluations: Map<number, EpochScore>;
  #run: Pick<RunningCoordinator, 'stop'> | undefined;
  #totalSteps = 0;

  constructor(rule: StopRule, before: readonly EpochScore[]) {
    this.#rule = rule;
    this.#evaluations = new Map(before.map((score) => [score.epoch, score]));
    this.viewer = { ...silentViewer, evaluation: (report) => this.#judge(report) };
  }

  attach(run: Pick<RunningCoordinator, 'stop'>, steps: number): void {
    this.#run = run;
    this.#totalSteps = steps;
  }

  /** A trial that has no further step finishes. */
  #judge({ set, step, epoch, correct, samples, loss }: EvaluationReport): void {
    if (set !== 'validation' || step === this.#totalSteps) return;
    this.#evaluations.set(epoch, { step, epoch, accuracy: correct / samples, loss });
    const until = [...this.#evaluations.values()].filter((score) => score.epoch <= epoch);
    if (this.#rule(until.toSorted((a, b) => a.epoch - b.epoch))) this.#run?.stop('STOPPED');
  }
}

/** The options that a sweep sets for a trial's run. */
function placeOf(run: string, state: TrialResult['state'], { directory, options }: SweepContext) {
  const { http, httpPort, progress, logFormat, logLevel } = options;
  const begun = state === 'waiting' ? { runId: run } : { resume: join(directory, run) };
  return {
    ...begun,
    runsDir: directory,
    port: 0,
    // The cluster knows how many are left.
    startWorkers: undefined,
    http,
    httpPort,
    progress,
    logFormat,
    logLevel,
  };
}

/** Folders that several sweeps may use, each with a folder of its own for the sweep's trials. */
function sharedPlaces(
  { tensorboard, artifacts }: PlannedTrial['options'],
  sweep: string,
): Pick<PlannedTrial['options'], 'tensorboard' | 'artifacts'> {
  return {
    tensorboard:
      tensorboard === undefined || tensorboard === RUN_DIRECTORY
        ? tensorboard
        : join(tensorboard, sweep),
    artifacts: artifacts === undefined ? undefined : `${artifacts.replace(/\/+$/, '')}/${sweep}`,
  };
}

/** The progress of a trial: its live line, but neither its evaluations nor its summary. */
function quiet(progress: Progress): Progress {
  return { ...progress, evaluation: () => undefined, summary: () => undefined };
}

/** The error with the trial's name. */
function named(run: string, error: unknown): unknown {
  if (!(error instanceof ClusterError)) return error;
  const { code, message, fix, cause } = error;
  const options = fix === undefined ? { cause } : { fix, cause };
  return new ClusterError(code, `${run}: ${message}`, options);
}
