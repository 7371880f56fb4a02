import { join } from 'node:path';
import type { Outcome } from '../../coordinator/decisions/effects.ts';
import { readRunRecord } from '../../coordinator/run-directory/read-run.ts';
import {
  silentViewer,
  type OpenReport,
  type RunViewer,
  type StepReport,
} from '../../coordinator/viewer.ts';
import { learningRateOf } from '../../shared/arithmetic/learning-rate.ts';
import { totalSteps } from '../../shared/arithmetic/schedule.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { systemDisk } from '../../shared/disk/disk.ts';
import { readEntry, tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { messageOf } from '../../shared/errors.ts';
import { ARTIFACTS_FOLDER, MODEL_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';
import * as limits from '../../shared/limits/tracker.ts';
import { pastLines } from '../feed/past-lines.ts';
import { MetricWindows } from './metric-windows.ts';
import { MlflowError, type MlflowServer } from './mlflow-client.ts';
import { MlflowRun, type Metric } from './mlflow-run.ts';
import { PatientRequests } from './patient-requests.ts';
import {
  metricNames,
  OccasionalScalars,
  trackedSettings,
  type EvaluationFacts,
  type Scalar,
  type Tell,
  type Tracker,
} from './tracker.ts';

export interface MlflowOptions {
  readonly server: MlflowServer;
  /** The name of the experiment, which is created if it does not exist. */
  readonly experiment: string;
  readonly configuration: Configuration;
  readonly version: string;
  readonly tell: Tell;
  /** How long the end of a run waits for a server that accepts nothing, in milliseconds. */
  readonly closeMilliseconds?: number;
  /** A monotonic clock in milliseconds. */
  readonly clock: () => number;
  /** The time of day in Unix milliseconds. */
  readonly date: () => number;
}

const statuses = {
  finished: 'FINISHED',
  interrupted: 'KILLED',
  diverged: 'FAILED',
  failed: 'FAILED',
} as const satisfies Record<Outcome['state'], string>;

/**
 * Logs a run to an MLflow server. Metrics wait in a queue of limited size while the server does not
 * answer; the requests are made one after the other in the background. A run that is resumed
 * continues its run in MLflow, and its files supply what the server lacks.
 */
export class MlflowTracker implements Tracker {
  readonly name = 'MLflow';
  readonly viewer: RunViewer;
  readonly #options: MlflowOptions;
  readonly #requests: PatientRequests;
  readonly #windows: MetricWindows;
  readonly #occasional: OccasionalScalars;
  #queue: Metric[] = [];
  #leftOut = 0;
  /** The last step of each metric that the server had when this coordinator began. */
  #logged: ReadonlyMap<string, number> = new Map();
  #outcome: Outcome | undefined;
  #logging: Promise<void> | undefined;
  #hasEnded = false;

  constructor(options: MlflowOptions) {
    const { server, tell, closeMilliseconds = limits.MLFLOW_CLOSE_MILLISECONDS } = options;
    this.#options = options;
    this.#requests = new PatientRequests({ url: server.url, tell, closeMilliseconds });
    this.#windows = new MetricWindows(totalSteps(options.configuration), limits.MLFLOW_POINTS);
    this.#occasional = new OccasionalScalars(options.clock, options.configuration);
    this.viewer = {
      ...silentViewer,
      opened: (report) => {
        this.#logging = this.#log(report);
      },
      step: (report) => this.#stepped(report),
      evaluation: (report) => this.#evaluated(report),
      ended: (outcome) => {
        this.#outcome = outcome;
      },
    };
  }

  async close(hurry: AbortSignal): Promise<void> {
    if (this.#logging !== undefined) await this.#requests.close(hurry, this.#logging);
  }

  #stepped(report: StepReport): void {
    const { step, learningRate } = report;
    const means = this.#windows.add(report);
    if (means === undefined) return;
    this.#enqueue(step, [
      ...means,
      [metricNames.learningRate, learningRate],
      ...this.#occasional.of(report),
    ]);
  }

  #evaluated({ set, step, loss, correct, samples }: EvaluationFacts): void {
    this.#enqueue(step, [
      [metricNames.loss[set], loss],
      [metricNames.accuracy[set], correct / samples],
    ]);
  }

  #enqueue(step: number, values: readonly Scalar[]): void {
    if (this.#hasEnded) return;
    const timestamp = Math.round(this.#options.date());
    for (const [key, value] of values) {
      // A step that was computed before a crash is computed again.
      if (!Number.isFinite(value) || step <= (this.#logged.get(key) ?? 0)) continue;
      if (this.#queue.length < limits.MAX_MLFLOW_QUEUE)
        this.#queue.push({ key, value, timestamp, step });
      else this.#leftOut += 1;
    }
  }

  /** Does not reject. */
  async #log(report: OpenReport): Promise<void> {
    const { tell, server } = this.#options;
    const requests = this.#requests;
    try {
      const run = await this.#begin(report);
      await this.#recall(report);
      while (!requests.isClosing || this.#queue.length > 0) {
        if (!requests.isClosing && this.#queue.length < limits.MLFLOW_BATCH_METRICS)
          await requests.pause(limits.MLFLOW_FLUSH_MILLISECONDS);
        await this.#send(run);
      }
      await this.#finish(run, report);
      if (this.#leftOut > 0)
        tell('warn', `MLflow lacks ${this.#leftOut} metrics: the server was too slow for them`);
    } catch (error) {
      const what = requests.isClosing
        ? 'the run is incomplete there'
        : 'training continues without it';
      const why = error instanceof MlflowError ? error.message : `has failed: ${messageOf(error)}`;
      tell('warn', `MLflow at ${server.url} ${why}; ${what}`);
    } finally {
      this.#hasEnded = true;
      this.#queue = [];
    }
  }

  /** Finds the run in MLflow or creates it, and logs its parameters. */
  async #begin({ run: id, started, term }: OpenReport): Promise<MlflowRun> {
    const { configuration, experiment, server, tell, version } = this.#options;
    const identity = { experiment, run: id, started, version };
    const run = await MlflowRun.open(server, this.#requests, identity);
    this.#logged = run.logged;
    this.#queue = this.#queue.filter(({ key, step }) => step > (run.logged.get(key) ?? 0));
    await run.logParameters(trackedSettings(configuration));
    await run.tag({
      'mnist_dist.term': String(term),
      'mnist_dist.steps': String(totalSteps(configuration)),
    });
    tell('info', `see it in MLflow at ${run.page}`);
    return run;
  }

  /** Logs earlier steps of a resumed run that the server lacks, from metrics.jsonl. */
  async #recall({ past, step: last }: OpenReport): Promise<void> {
    const { configuration } = this.#options;
    const windows = new MetricWindows(totalSteps(configuration), limits.MLFLOW_POINTS);
    const logged = this.#logged.get(metricNames.loss.train) ?? 0;
    if (past === undefined || last - logged < windows.length) return;
    for await (const line of pastLines(past())) {
      const { step } = line;
      if (line.kind === 'evaluation') {
        this.#evaluated(line);
        continue;
      }
      const means = windows.add(line);
      if (means !== undefined)
        this.#enqueue(step, [
          ...means,
          [metricNames.learningRate, learningRateOf(configuration, step)],
        ]);
    }
  }

  /** Sends the metrics that wait, at most one batch. */
  async #send(run: MlflowRun): Promise<void> {
    const metrics = this.#queue.slice(0, limits.MLFLOW_BATCH_METRICS);
    if (metrics.length === 0) return;
    await run.logMetrics(metrics);
    this.#queue.splice(0, metrics.length);
  }

  /** Sends the files of the run, and its state. */
  async #finish(run: MlflowRun, { directory }: OpenReport): Promise<void> {
    const state = this.#outcome?.state ?? 'failed';
    if (state === 'finished' || state === 'interrupted') {
      await this.#sendFiles(run, directory);
      const { model } = await readRunRecord(directory);
      if (model !== undefined) await run.tag({ 'mnist_dist.model_sha256': model.sha256 });
    }
    await run.tag({ 'mnist_dist.state': state });
    await run.end(statuses[state], Math.round(this.#options.date()));
  }

  async #sendFiles(run: MlflowRun, directory: string): Promise<void> {
    const { fileRoot } = run;
    if (fileRoot === undefined) {
      const { tell, server } = this.#options;
      return tell(
        'warn',
        `the report and the model are not in MLflow: ${server.url} keeps files at ` +
          `${run.artifactUri}, and does not take them itself (mlflow server --serve-artifacts)`,
      );
    }
    for (const name of [MODEL_FILE, RECORD_FILE, ...(await artifactsIn(directory))]) {
      const bytes = await bytesOf(join(directory, name));
      if (bytes !== undefined) await run.sendFile(fileRoot, name, bytes);
    }
  }
}

/** The names of a run's artifacts; none if it has no pictures. */
async function artifactsIn(directory: string): Promise<string[]> {
  const names = await systemDisk.list(join(directory, ARTIFACTS_FOLDER)).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  });
  return names
    .filter((name) => /^[A-Za-z0-9_-][\w.-]*$/.test(name))
    .slice(0, limits.MAX_MLFLOW_FILES)
    .map((name) => `${ARTIFACTS_FOLDER}/${name}`);
}

async function bytesOf(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return new Uint8Array(await readEntry(path, tensorFileLimit));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
