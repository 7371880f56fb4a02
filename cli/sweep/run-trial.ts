import { join } from 'node:path';
import { startCoordinator } from '../../coordinator/start-coordinator.ts';
import { coordinate } from '../commands/coordinator.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { newDataset } from '../runs/new-dataset.ts';
import { adoptRun } from '../runs/resume.ts';
import { createProgress, type Progress, type ProgressOptions } from '../terminal/live-terminal.ts';
import type { SweepOptions } from '../options/options.ts';
import type { StopRequest } from '../processes/supervised.ts';
import type { PlannedTrial } from './planned-trial.ts';
import type { SweepCluster } from './sweep-cluster.ts';
import type { TrialResult } from './trial-results.ts';

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
 * Trains a trial from where its run is. Rejects with the run's error, or with that of its workers;
 * a run that has diverged is a result.
 */
export async function runTrial(
  { run, options, explicit }: PlannedTrial,
  state: TrialResult['state'],
  context: SweepContext,
): Promise<void> {
  const { stopping, screen, cluster } = context;
  const { log } = screen;
  const place = placeOf(run, state, context);
  try {
    const adopted = await adoptRun({ ...options, ...place }, explicit);
    await coordinate(adopted, explicit, {
      log,
      progress: quiet(createProgress(screen)),
      hasOwnWorkers: true,
      viewers: [],
      newDataset: context.newDataset,
      start: async (settings, viewer) => {
        const { reception, token } = cluster;
        const own = { reception, token, listening: undefined, descriptor: undefined };
        const running = await startCoordinator({ ...settings, ...own }, viewer);
        cluster.begin(running);
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
    if (error instanceof ClusterError && error.code === 'DIVERGED') return;
    throw named(run, cluster.failure ?? error);
  } finally {
    cluster.end();
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
