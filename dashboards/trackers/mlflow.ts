import { userInfo } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
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
import { MlflowClient, MlflowError, type MlflowServer } from './mlflow-client.ts';
import {
  metricNames,
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

interface Metric {
  readonly key: string;
  readonly value: number;
  readonly timestamp: number;
  readonly step: number;
}

const runSchema = z.object({
  info: z.object({ run_id: z.string().regex(/^[\w-]{1,64}$/), artifact_uri: z.string() }),
  data: z
    .object({
      metrics: z
        .array(z.object({ key: z.string(), step: z.coerce.number().default(0) }))
        .default([]),
      params: z.array(z.object({ key: z.string() })).default([]),
    })
    .default({ metrics: [], params: [] }),
});
type MlflowRun = z.infer<typeof runSchema>;

const oneRunSchema = z.object({ run: runSchema });
const runsSchema = z.object({ runs: z.array(runSchema).default([]) });
const experimentSchema = z.object({ experiment: z.object({ experiment_id: z.string() }) });
const createdSchema = z.object({ experiment_id: z.string() });
const emptySchema = z.unknown();

/** The tags by which a resumed run is found again. */
const RUN_TAG = 'mnist_dist.run';
const STARTED_TAG = 'mnist_dist.started';

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
  readonly #client: MlflowClient;
  readonly #windows: MetricWindows;
  readonly #closeMilliseconds: number;
  /** Ends all requests: the run is over, and the server has not accepted anything for a while. */
  readonly #giveUp = new AbortController();
  #queue: Metric[] = [];
  #leftOut = 0;
  /** The last step of each metric that the server had when this coordinator began. */
  #logged: ReadonlyMap<string, number> = new Map();
  #speed: { readonly step: number; readonly at: number } | undefined;
  #outcome: Outcome | undefined;
  #logging: Promise<void> | undefined;
  #hasEnded = false;
  #isClosing = false;
  #deadline: NodeJS.Timeout | undefined;
  /** Ends the current pause. */
  #wake: () => void = () => undefined;
  /** Whether the last request failed. */
  #isDown = false;
  /** Whether the user was told that the server does not accept anything, and that it does again. */
  readonly #told = { isDown: false, isBack: false };

  constructor(options: MlflowOptions) {
    this.#options = options;
    this.#closeMilliseconds = options.closeMilliseconds ?? limits.MLFLOW_CLOSE_MILLISECONDS;
    this.#client = new MlflowClient(options.server, this.#giveUp.signal, () => this.#extend());
    this.#windows = new MetricWindows(totalSteps(options.configuration), limits.MLFLOW_POINTS);
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
    if (this.#logging === undefined) return;
    this.#isClosing = true;
    this.#wake();
    const onHurry = () => {
      this.#giveUp.abort();
      this.#wake();
    };
    if (hurry.aborted) onHurry();
    hurry.addEventListener('abort', onHurry);
    this.#extend();
    if (this.#isDown && !hurry.aborted)
      this.#options.tell(
        'info',
        `waiting at most ${this.#closeMilliseconds / 1000} s for MLflow (Ctrl-C ends the wait)`,
      );
    await this.#logging;
    clearTimeout(this.#deadline);
    hurry.removeEventListener('abort', onHurry);
  }

  #stepped(report: StepReport): void {
    const { step, learningRate } = report;
    this.#speed ??= { step: step - 1, at: this.#options.clock() - report.milliseconds };
    const means = this.#windows.add(report);
    if (means === undefined) return;
    const now = this.#options.clock();
    const speed = (1000 * (step - this.#speed.step)) / (now - this.#speed.at);
    this.#speed = { step, at: now };
    this.#enqueue(step, [
      ...means,
      [metricNames.learningRate, learningRate],
      [metricNames.stepsPerSecond, speed],
      [metricNames.gradientNorm, report.gradientNorm()],
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
    // MLflow stores a time with a fraction as 0.
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
    try {
      const run = await this.#begin(report);
      await this.#recall(report);
      while (!this.#isClosing || this.#queue.length > 0) {
        if (!this.#isClosing && this.#queue.length < limits.MLFLOW_BATCH_METRICS)
          await this.#pause(limits.MLFLOW_FLUSH_MILLISECONDS);
        await this.#send(run);
      }
      await this.#finish(run, report);
      if (this.#leftOut > 0)
        tell('warn', `MLflow lacks ${this.#leftOut} metrics: the server was too slow for them`);
    } catch (error) {
      const what = this.#isClosing
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
  async #begin(report: OpenReport): Promise<MlflowRun> {
    const { configuration, tell, server } = this.#options;
    const { experiment, run, isNew } = await this.#persist(() => this.#findOrCreate(report));
    const { run_id } = run.info;
    this.#logged = new Map(run.data.metrics.map(({ key, step }) => [key, step]));
    this.#queue = this.#queue.filter(({ key, step }) => step > (this.#logged.get(key) ?? 0));
    if (!isNew) await this.#update(run, { status: 'RUNNING' });
    // A parameter cannot be changed: a resumed run may have more epochs than before.
    const known = new Set(run.data.params.map(({ key }) => key));
    const parameters = [...trackedSettings(configuration)]
      .filter(([key]) => !known.has(key))
      .map(([key, value]) => ({
        key,
        value: String(value).slice(0, limits.MLFLOW_PARAMETER_CHARACTERS),
      }));
    for (let at = 0; at < parameters.length; at += limits.MLFLOW_BATCH_PARAMETERS) {
      const params = parameters.slice(at, at + limits.MLFLOW_BATCH_PARAMETERS);
      await this.#persist(() =>
        this.#client.post('runs/log-batch', { run_id, params }, emptySchema),
      );
    }
    await this.#tag(run, {
      'mnist_dist.term': String(report.term),
      'mnist_dist.steps': String(totalSteps(configuration)),
    });
    tell('info', `see it in MLflow at ${server.url}/#/experiments/${experiment}/runs/${run_id}`);
    return run;
  }

  /** Can be repeated if it fails: a run that was created without an answer is found. */
  async #findOrCreate({ run, started }: OpenReport) {
    const experiment = await this.#experiment();
    const { runs } = await this.#client.post(
      'runs/search',
      {
        experiment_ids: [experiment],
        filter: `tags.\`${RUN_TAG}\` = '${run}' and tags.\`${STARTED_TAG}\` = '${started}'`,
        max_results: 1,
      },
      runsSchema,
    );
    const [found] = runs;
    if (found !== undefined) return { experiment, run: found, isNew: false };
    const tags = {
      [RUN_TAG]: run,
      [STARTED_TAG]: started,
      'mnist_dist.version': this.#options.version,
      'mlflow.source.name': 'mnist-dist',
      'mlflow.source.type': 'LOCAL',
      'mlflow.user': userName(),
    };
    const created = await this.#client.post(
      'runs/create',
      {
        experiment_id: experiment,
        run_name: run,
        start_time: Date.parse(started),
        tags: tagList(tags),
      },
      oneRunSchema,
    );
    return { experiment, run: created.run, isNew: true };
  }

  async #experiment(): Promise<string> {
    const { experiment: name } = this.#options;
    const find = async () =>
      (
        await this.#client.get(
          'experiments/get-by-name',
          { experiment_name: name },
          experimentSchema,
        )
      ).experiment.experiment_id;
    try {
      return await find();
    } catch (error) {
      if (!isCode(error, 'RESOURCE_DOES_NOT_EXIST')) throw error;
    }
    try {
      const created = await this.#client.post('experiments/create', { name }, createdSchema);
      return created.experiment_id;
    } catch (error) {
      // Another run may have created it in the meantime.
      if (!isCode(error, 'RESOURCE_ALREADY_EXISTS')) throw error;
      return await find();
    }
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
  async #send({ info: { run_id } }: MlflowRun): Promise<void> {
    const metrics = this.#queue.slice(0, limits.MLFLOW_BATCH_METRICS);
    if (metrics.length === 0) return;
    // A batch that is sent twice is stored once.
    await this.#persist(() =>
      this.#client.post('runs/log-batch', { run_id, metrics }, emptySchema),
    );
    this.#queue.splice(0, metrics.length);
  }

  /** Sends the files of the run, and its state. */
  async #finish(run: MlflowRun, { directory }: OpenReport): Promise<void> {
    const state = this.#outcome?.state ?? 'failed';
    if (state === 'finished' || state === 'interrupted') {
      await this.#sendFiles(run, directory);
      const { model } = await readRunRecord(directory);
      if (model !== undefined) await this.#tag(run, { 'mnist_dist.model_sha256': model.sha256 });
    }
    await this.#tag(run, { 'mnist_dist.state': state });
    const end_time = Math.round(this.#options.date());
    await this.#update(run, { status: statuses[state], end_time });
  }

  async #sendFiles(run: MlflowRun, directory: string): Promise<void> {
    const { artifact_uri } = run.info;
    const root = /^mlflow-artifacts:(?:\/\/)?\/(?!\/)(.+)$/.exec(artifact_uri)?.[1];
    if (root === undefined) {
      const { tell, server } = this.#options;
      return tell(
        'warn',
        `the report and the model are not in MLflow: ${server.url} keeps files at ` +
          `${artifact_uri}, and does not take them itself (mlflow server --serve-artifacts)`,
      );
    }
    for (const name of [MODEL_FILE, RECORD_FILE, ...(await artifactsIn(directory))]) {
      const bytes = await bytesOf(join(directory, name));
      if (bytes === undefined) continue;
      const limit =
        limits.MLFLOW_CLOSE_MILLISECONDS + Math.ceil(bytes.length / limits.MIN_MLFLOW_UPLOAD_SPEED);
      await this.#persist(() => this.#client.upload(`${root}/${name}`, bytes, limit), limit);
    }
  }

  async #tag({ info: { run_id } }: MlflowRun, tags: Readonly<Record<string, string>>) {
    const body = { run_id, tags: tagList(tags) };
    await this.#persist(() => this.#client.post('runs/log-batch', body, emptySchema));
  }

  async #update({ info: { run_id } }: MlflowRun, changes: object): Promise<void> {
    await this.#persist(() =>
      this.#client.post('runs/update', { run_id, ...changes }, emptySchema),
    );
  }

  /**
   * Repeats a request until the server accepts it. Rejects with MlflowError if it never will, or if
   * the run has ended and nothing was accepted for a while.
   */
  async #persist<T>(request: () => Promise<T>, milliseconds = this.#closeMilliseconds): Promise<T> {
    this.#extend(milliseconds);
    let pause = limits.FIRST_MLFLOW_RETRY_MILLISECONDS;
    let refused: MlflowError | undefined;
    for (;;) {
      try {
        const result = await request();
        this.#accepted();
        return result;
      } catch (error) {
        if (!(error instanceof MlflowError) || !error.isTemporary) throw error;
        if (this.#giveUp.signal.aborted) throw refused ?? error;
        refused = error;
        this.#refused(error);
      }
      await this.#pause(pause);
      pause = Math.min(2 * pause, limits.MAX_MLFLOW_RETRY_MILLISECONDS);
    }
  }

  #refused({ message }: MlflowError): void {
    this.#isDown = true;
    if (this.#told.isDown) return;
    this.#told.isDown = true;
    const { tell, server } = this.#options;
    tell('warn', `MLflow at ${server.url} ${message}; training continues, and metrics wait`);
  }

  #accepted(): void {
    this.#isDown = false;
    if (!this.#told.isDown || this.#told.isBack) return;
    this.#told.isBack = true;
    this.#options.tell('info', `MLflow at ${this.#options.server.url} answers again`);
  }

  /** Once the run has ended: gives up if the server accepts nothing for this time. */
  #extend(milliseconds = this.#closeMilliseconds): void {
    if (!this.#isClosing) return;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.#giveUp.abort();
      this.#wake();
    }, milliseconds);
  }

  async #pause(milliseconds: number): Promise<void> {
    if (this.#giveUp.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      // While the run trains, its own timers keep the process alive.
      if (!this.#isClosing) timer.unref();
    });
  }
}

function tagList(tags: Readonly<Record<string, string>>) {
  return Object.entries(tags).map(([key, value]) => ({ key, value }));
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof MlflowError && error.code === code;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container may run with a number that is not a user.
    return 'unknown';
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
