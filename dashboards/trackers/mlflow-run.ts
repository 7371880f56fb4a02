import { userInfo } from 'node:os';
import { z } from 'zod';
import * as limits from '../../shared/limits/tracker.ts';
import { MlflowClient, MlflowError, type MlflowServer } from './mlflow-client.ts';
import type { PatientRequests } from './patient-requests.ts';

/** A value of one of MLflow's metrics. */
export interface Metric {
  readonly key: string;
  readonly value: number;
  /** Unix milliseconds, an integer: MLflow stores a time with a fraction as 0. */
  readonly timestamp: number;
  readonly step: number;
}

/** What a run is called, and which tags and experiment it has. */
export interface RunIdentity {
  /** The name of the experiment, which is created if it does not exist. */
  readonly experiment: string;
  /** The run's id. */
  readonly run: string;
  /** When the run was first started, in ISO 8601; a resumed run keeps it. */
  readonly started: string;
  readonly version: string;
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
type RunData = z.infer<typeof runSchema>;

const oneRunSchema = z.object({ run: runSchema });
const runsSchema = z.object({ runs: z.array(runSchema).default([]) });
const experimentSchema = z.object({ experiment: z.object({ experiment_id: z.string() }) });
const createdSchema = z.object({ experiment_id: z.string() });
const emptySchema = z.unknown();

/** The tags by which a resumed run is found again. */
const RUN_TAG = 'mnist_dist.run';
const STARTED_TAG = 'mnist_dist.started';

/** A run on an MLflow server. Its methods repeat their requests; they reject with MlflowError. */
export class MlflowRun {
  /** The address of the run's page. */
  readonly page: string;
  /** The last step of each metric that the server had when the run was opened. */
  readonly logged: ReadonlyMap<string, number>;
  readonly #client: MlflowClient;
  readonly #requests: PatientRequests;
  readonly #data: RunData;

  private constructor(
    client: MlflowClient,
    requests: PatientRequests,
    data: RunData,
    page: string,
  ) {
    this.#client = client;
    this.#requests = requests;
    this.#data = data;
    this.page = page;
    this.logged = new Map(data.data.metrics.map(({ key, step }) => [key, step]));
  }

  /** Finds the run on the server, or creates it. */
  static async open(
    server: MlflowServer,
    requests: PatientRequests,
    identity: RunIdentity,
  ): Promise<MlflowRun> {
    const client = new MlflowClient(server, requests.signal, () => requests.extend());
    const { experiment, data, isNew } = await requests.persist(() =>
      findOrCreate(client, identity),
    );
    const page = `${server.url}/#/experiments/${experiment}/runs/${data.info.run_id}`;
    const run = new MlflowRun(client, requests, data, page);
    if (!isNew) await run.#update({ status: 'RUNNING' });
    return run;
  }

  /**
   * Where the server takes files for this run; undefined if it does not take any. Some servers let
   * their clients write to the store.
   */
  get fileRoot(): string | undefined {
    return /^mlflow-artifacts:(?:\/\/)?\/(?!\/)(.+)$/.exec(this.#data.info.artifact_uri)?.[1];
  }

  get artifactUri(): string {
    return this.#data.info.artifact_uri;
  }

  /** Logs the parameters that the server lacks: one that it has cannot be changed. */
  async logParameters(settings: ReadonlyMap<string, unknown>): Promise<void> {
    const known = new Set(this.#data.data.params.map(({ key }) => key));
    const parameters = [...settings]
      .filter(([key]) => !known.has(key))
      .map(([key, value]) => ({
        key,
        value: String(value).slice(0, limits.MLFLOW_PARAMETER_CHARACTERS),
      }));
    for (let at = 0; at < parameters.length; at += limits.MLFLOW_BATCH_PARAMETERS)
      await this.#log({ params: parameters.slice(at, at + limits.MLFLOW_BATCH_PARAMETERS) });
  }

  /** Logs metrics, at most one batch. A batch that is sent twice is stored once. */
  async logMetrics(metrics: readonly Metric[]): Promise<void> {
    await this.#log({ metrics });
  }

  async tag(tags: Readonly<Record<string, string>>): Promise<void> {
    await this.#log({ tags: tagList(tags) });
  }

  /** Sends a file; `name` is its path in the run's folder of files. */
  async sendFile(root: string, name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const limit =
      limits.MLFLOW_CLOSE_MILLISECONDS + Math.ceil(bytes.length / limits.MIN_MLFLOW_UPLOAD_SPEED);
    const send = () => this.#client.upload(`${root}/${name}`, bytes, limit);
    await this.#requests.persist(send, limit);
  }

  /** Records the state in which the run ended. */
  async end(status: 'FINISHED' | 'KILLED' | 'FAILED', endTime: number): Promise<void> {
    await this.#update({ status, end_time: endTime });
  }

  async #log(what: object): Promise<void> {
    await this.#post('runs/log-batch', what);
  }

  async #update(changes: object): Promise<void> {
    await this.#post('runs/update', changes);
  }

  async #post(method: string, body: object): Promise<void> {
    const { run_id } = this.#data.info;
    await this.#requests.persist(() => this.#client.post(method, { run_id, ...body }, emptySchema));
  }
}

/** Can be repeated if it fails: a run that was created without an answer is found. */
async function findOrCreate(
  client: MlflowClient,
  { experiment: name, run, started, version }: RunIdentity,
) {
  const experiment = await experimentId(client, name);
  const { runs } = await client.post(
    'runs/search',
    {
      experiment_ids: [experiment],
      filter: `tags.\`${RUN_TAG}\` = '${run}' and tags.\`${STARTED_TAG}\` = '${started}'`,
      max_results: 1,
    },
    runsSchema,
  );
  const [found] = runs;
  if (found !== undefined) return { experiment, data: found, isNew: false };
  const tags = {
    [RUN_TAG]: run,
    [STARTED_TAG]: started,
    'mnist_dist.version': version,
    'mlflow.source.name': 'mnist-dist',
    'mlflow.source.type': 'LOCAL',
    'mlflow.user': userName(),
  };
  const created = await client.post(
    'runs/create',
    {
      experiment_id: experiment,
      run_name: run,
      start_time: Date.parse(started),
      tags: tagList(tags),
    },
    oneRunSchema,
  );
  return { experiment, data: created.run, isNew: true };
}

async function experimentId(client: MlflowClient, name: string): Promise<string> {
  const find = async () => {
    const parameters = { experiment_name: name };
    const found = await client.get('experiments/get-by-name', parameters, experimentSchema);
    return found.experiment.experiment_id;
  };
  try {
    return await find();
  } catch (error) {
    if (!isCode(error, 'RESOURCE_DOES_NOT_EXIST')) throw error;
  }
  try {
    return (await client.post('experiments/create', { name }, createdSchema)).experiment_id;
  } catch (error) {
    // Another run may have created it in the meantime.
    if (!isCode(error, 'RESOURCE_ALREADY_EXISTS')) throw error;
    return await find();
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
