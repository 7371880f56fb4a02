import { dirname } from 'node:path';
import type { RunViewer } from '../../coordinator/viewer.ts';
import type { MlflowServer } from '../../dashboards/trackers/mlflow-client.ts';
import { MlflowTracker } from '../../dashboards/trackers/mlflow.ts';
import { TensorBoardTracker } from '../../dashboards/trackers/tensorboard.ts';
import type { Tracker } from '../../dashboards/trackers/tracker.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { messageOf } from '../../shared/errors.ts';
import { isLoopback } from '../../shared/wire/address.ts';
import { shellPath } from '../../shared/shell-word.ts';
import type { CoordinatorOptions } from '../options/options.ts';
import { version } from '../package.ts';
import { mlflowTarget } from './mlflow-target.ts';
import type { Log } from '../terminal/log.ts';

/** The value of --tensorboard that stands for the run directory. */
export const RUN_DIRECTORY = 'run';

type TrackerOptions = Pick<CoordinatorOptions, 'tensorboard' | 'mlflow'>;

/** The trackers that the options ask for. */
export class Trackers {
  readonly #options: TrackerOptions;
  readonly #log: Log;
  readonly #all: readonly Tracker[];

  /** Throws USAGE if MLflow's variables cannot be used. */
  constructor(options: TrackerOptions, configuration: Configuration, log: Log) {
    this.#options = options;
    this.#log = log;
    const { tensorboard } = options;
    const common = {
      configuration,
      tell: (level: 'info' | 'warn', message: string) => log[level]({}, message),
      clock: () => performance.now(),
      date: () => Date.now(),
    };
    const folder = tensorboard === RUN_DIRECTORY ? undefined : tensorboard;
    const mlflow = mlflowTarget(options.mlflow, process.env);
    if (mlflow !== undefined) warnOfPlainText(mlflow.server, log);
    this.#all = [
      ...(tensorboard === undefined ? [] : [new TensorBoardTracker({ folder, ...common })]),
      ...(mlflow === undefined ? [] : [new MlflowTracker({ ...mlflow, version, ...common })]),
    ];
  }

  get viewers(): RunViewer[] {
    return this.#all.map(({ viewer }) => viewer);
  }

  /** Says how to see the run. */
  announce(directory: string): void {
    const { tensorboard } = this.#options;
    if (tensorboard === undefined) return;
    const folder = tensorboard === RUN_DIRECTORY ? dirname(directory) : tensorboard;
    const command = `tensorboard --logdir ${shellPath(folder)}`;
    this.#log.info({ tensorboard: folder }, `see it in TensorBoard with: ${command}`);
  }

  /** Drops a tracker that threw; false if the viewer does not belong to one. */
  fail(viewer: RunViewer, error: unknown): boolean {
    const failed = this.#all.find((each) => each.viewer === viewer);
    if (failed === undefined) return false;
    this.#log.error(
      { err: error },
      `${failed.name} has failed; training continues without it: ${messageOf(error)}`,
    );
    return true;
  }

  /** Writes what is left once the run has ended. Does not reject. */
  async close(hurry: AbortSignal): Promise<void> {
    const closing = this.#all.map((tracker) =>
      tracker.close(hurry).catch((error: unknown) => void this.fail(tracker.viewer, error)),
    );
    await Promise.all(closing);
  }
}

/** Warns if credentials for another machine are sent without TLS. */
function warnOfPlainText({ url, authorization }: MlflowServer, log: Log): void {
  const { protocol, hostname } = new URL(url);
  if (authorization === undefined || protocol === 'https:' || isLoopback(hostname)) return;
  log.warn({ mlflow: url }, `the credentials for MLflow are sent without TLS to ${url}`);
}
