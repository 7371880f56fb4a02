import { defaultVirtualShards } from '../../shared/configuration.ts';
import * as limits from '../../shared/limits.ts';
import {
  described,
  withDefault,
  withoutDefault,
  type Commands,
  type Settled,
  type Option,
} from './option.ts';
import { engineSynonyms, logLevelSynonyms } from './synonyms.ts';
import { DEFAULT_HTTP_PORT, DEFAULT_PORT, endpoint, host } from './endpoint.ts';
import {
  byteSize,
  choice,
  decimal,
  device,
  duration,
  either,
  flag,
  integer,
  integers,
  matching,
  path,
  secret,
  stepsOrDuration,
} from './value-types.ts';

const runs = ['local', 'coordinator'] as const;
const computes = ['local', 'worker', 'verify', 'eval'] as const;
const talks = ['local', 'coordinator', 'worker', 'show', 'verify', 'eval', 'push', 'pull'] as const;
const listens = ['local', 'coordinator', 'eval', 'doctor'] as const;
const shows = ['local', 'coordinator', 'show'] as const;

const WEEK_SECONDS = 7 * 86_400;
const seconds = duration({ min: 1, max: WEEK_SECONDS });
const name = (what: string) =>
  matching(
    'NAME',
    `${what}: 1 to ${limits.MAX_NAME_CHARACTERS} letters, digits, ".", "_" and "-", beginning with a letter or a digit`,
    new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.MAX_NAME_CHARACTERS - 1}}$`),
  );

/**
 * Every option of every command, once. Flags, MNIST_DIST_... variables, YAML keys, help and the
 * table of the documentation all come from here.
 */
export const optionTable = {
  config: withoutDefault(path('FILE', 'a readable YAML file'), {
    in: 'all',
    group: 'Run',
    help: 'YAML file with any of these options, one "name: value" a line; one file may serve all commands',
  }),
  runsDir: withDefault(path('DIR', 'a folder'), 'runs', {
    in: ['local', 'coordinator', 'show', 'verify', 'eval', 'predict', 'runs', 'pull', 'doctor'],
    group: 'Run',
    help: 'folder for run directories; created when missing',
  }),
  runId: withoutDefault(name('a folder name'), {
    in: runs,
    group: 'Run',
    help: 'name of the run directory (without it: date, time and four random characters)',
  }),
  resume: withoutDefault(
    {
      ...path('RUN', 'the directory of a run, or nothing for the newest that is not finished'),
      bare: 'newest',
    },
    {
      in: runs,
      group: 'Run',
      help: 'resume a run (without RUN: the newest unfinished one); options that its bytes depend on stay, --epochs and --steps may be raised',
    },
  ),
  checkpointEvery: withDefault(
    stepsOrDuration({ min: 1, max: limits.MAX_STEPS }),
    { milliseconds: 1000 * limits.DEFAULT_CHECKPOINT_SECONDS },
    { in: runs, group: 'Run', help: 'checkpoint interval, in steps or time' },
  ),
  keep: withDefault(
    integer({ min: 1, max: limits.MAX_KEPT_CHECKPOINTS }),
    limits.DEFAULT_KEPT_CHECKPOINTS,
    { in: runs, group: 'Run', help: 'number of checkpoints to keep' },
  ),
  takeOver: withDefault(flag, false, {
    in: runs,
    group: 'Run',
    help: 'resume a run although a coordinator on another host has its lock',
  }),
  data: withoutDefault(path('DIR', 'an existing folder with the four MNIST files, idx or idx.gz'), {
    in: ['local', 'coordinator', 'show', 'verify', 'eval', 'predict', 'doctor'],
    group: 'Run',
    help: "folder with another idx dataset (without it: the run's own; for a new run the MNIST of the package)",
  }),
  model: withoutDefault(
    path(
      'RUN|FILE|URI',
      'the directory of a run, a model.safetensors, or the URI of a run in a store',
    ),
    {
      in: ['predict'],
      group: 'Run',
      help: 'the model to ask (without it: that of the newest finished run in --runs-dir)',
    },
  ),
  from: withoutDefault(integer({ min: 1, max: limits.MAX_STEPS }, 'STEP'), {
    in: ['verify'],
    group: 'Run',
    help: 'begin at the newest checkpoint not after this step, and trust it; else at the beginning',
  }),
  split: withDefault(
    choice(['test', 'train'], { validation: 'test', val: 'test', dev: 'test', training: 'train' }),
    'test',
    {
      in: ['eval'],
      group: 'Run',
      help: 'which half of the dataset to evaluate',
    },
  ),
  seed: withDefault(integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), 1, {
    in: runs,
    group: 'Run',
    help: 'seed of order, dropout and initial weights',
  }),

  epochs: withDefault(integer({ min: 1, max: limits.MAX_EPOCHS }), 5, {
    in: runs,
    group: 'Training',
    help: 'passes over the training set',
  }),
  steps: withoutDefault(integer({ min: 1, max: limits.MAX_STEPS }), {
    in: ['local', 'coordinator', 'bench'],
    group: 'Training',
    help: 'total steps; wins over --epochs (bench: steps of each measured run)',
  }),
  batchSize: withDefault(integer({ min: 1, max: limits.MAX_BATCH_SIZE }), 32, {
    in: runs,
    group: 'Training',
    help: 'samples of one step over all workers',
  }),
  virtualShards: {
    ...described({
      in: runs,
      group: 'Training',
      help: 'shards of a batch; at most so many workers compute',
    }),
    type: {
      ...integer({ min: 1, max: limits.MAX_VIRTUAL_SHARDS }),
      allowed: `a power of two from 1 to ${limits.MAX_VIRTUAL_SHARDS}, at most --batch-size`,
    },
    defaultText: `up to ${limits.MAX_DEFAULT_VIRTUAL_SHARDS}, at least ${limits.MIN_DEFAULT_SHARD_ROWS} samples each`,
    defaultValue: (settled: Settled) => defaultVirtualShards(Number(settled['batchSize'])),
  },
  learningRate: withDefault(
    decimal('a number above 0, at most 1000', (x) => x > 0 && x <= 1000),
    0.001,
    { in: runs, group: 'Training', help: "Adam's learning rate" },
  ),
  beta1: withDefault(
    decimal('a number from 0 to below 1', (x) => x >= 0 && x < 1),
    0.9,
    { in: runs, group: 'Training', help: "Adam's decay of the first moment" },
  ),
  beta2: withDefault(
    decimal('a number from 0 to below 1', (x) => x >= 0 && x < 1),
    0.999,
    { in: runs, group: 'Training', help: "Adam's decay of the second moment" },
  ),
  epsilon: withDefault(
    decimal('a number above 0, at most 1', (x) => x > 0 && x <= 1),
    1e-7,
    { in: runs, group: 'Training', help: "Adam's epsilon" },
  ),
  hidden: withDefault(
    integers({ min: 1, max: limits.MAX_LAYER_UNITS }, limits.MAX_HIDDEN_LAYERS),
    [128],
    {
      in: runs,
      group: 'Training',
      help: 'units of the hidden layers, such as 128 or 256,128',
    },
  ),
  dropout: withDefault(
    decimal('a number from 0 to below 1', (x) => x >= 0 && x < 1),
    0.2,
    { in: runs, group: 'Training', help: 'share of hidden units dropped in a training step' },
  ),

  host: withDefault(host, '127.0.0.1', {
    in: listens,
    group: 'Network',
    help: 'address to listen on; beyond this machine it needs TLS, or to be insecure (eval: wait for workers there)',
  }),
  port: withDefault(integer({ min: 0, max: 65_535 }, 'PORT'), DEFAULT_PORT, {
    in: listens,
    group: 'Network',
    help: 'port to listen on; 0 picks a free one (eval: wait for workers there)',
  }),
  coordinator: withDefault(endpoint, `ws://127.0.0.1:${DEFAULT_PORT}`, {
    in: ['worker'],
    group: 'Network',
    alias: 'rdzv-endpoint',
    help: 'where the coordinator listens: wss://HOST:PORT, without TLS ws://HOST:PORT or HOST:PORT',
  }),
  join: withoutDefault(secret('STRING|-'), {
    in: ['worker'],
    group: 'Network',
    help: 'the join string that a coordinator prints: address, token and certificate in one; - reads it from stdin',
  }),
  advertise: withoutDefault(host, {
    in: ['coordinator', 'eval'],
    group: 'Network',
    help: 'name or address under which workers reach this machine (without it: --host, or the first name in the certificate)',
  }),
  sslCertfile: withoutDefault(
    path('FILE', 'a PEM file with a certificate and the chain above it'),
    {
      in: ['local', 'coordinator', 'eval'],
      group: 'Network',
      help: 'certificate with which to speak TLS to workers; `mnist-dist certs` makes one',
    },
  ),
  sslKeyfile: withoutDefault(path('FILE', 'a PEM file with the key of --ssl-certfile'), {
    in: ['local', 'coordinator', 'eval'],
    group: 'Network',
    help: 'its private key',
  }),
  sslCaCertfile: withoutDefault(path('FILE', 'a PEM file with certificates'), {
    in: ['worker'],
    group: 'Network',
    help: 'CA certificates to trust (without it: that of the join string, or those that this machine trusts)',
  }),
  tokenFile: withoutDefault(
    path('FILE', `a readable file of at most ${limits.MAX_TOKEN_FILE_BYTES} bytes`),
    {
      in: ['local', 'coordinator', 'worker', 'eval'],
      group: 'Network',
      help: 'file with the shared token (or the token itself in MNIST_DIST_TOKEN)',
    },
  ),
  insecure: withDefault(flag, false, {
    in: ['local', 'coordinator', 'worker', 'show', 'eval'],
    group: 'Network',
    help: 'allow a connection beyond this machine without TLS: readers of the network see weights and dataset',
  }),
  maxRetries: withoutDefault(integer({ min: 0, max: 1_000_000 }), {
    in: ['worker'],
    group: 'Network',
    help: 'how often to dial again (without it: until --max-wait-time is over)',
  }),
  maxWaitTime: withDefault(
    duration({ min: 0, max: WEEK_SECONDS }),
    limits.DEFAULT_MAX_WAIT_SECONDS,
    {
      in: ['worker'],
      group: 'Network',
      help: 'how long to wait for a coordinator that does not answer',
    },
  ),
  maxModelBytes: withDefault(
    byteSize({ min: 1, max: limits.MAX_KERNEL_MEMORY_BYTES }),
    limits.DEFAULT_MAX_MODEL_BYTES,
    { in: ['worker'], group: 'Network', help: 'refuse a run whose largest message is larger' },
  ),
  maxDataBytes: withDefault(byteSize({ min: 1, max: 1024 ** 4 }), limits.DEFAULT_MAX_DATA_BYTES, {
    in: ['worker'],
    group: 'Network',
    help: 'refuse a run whose dataset is larger',
  }),
  maxMemoryBytes: withDefault(
    byteSize({ min: 1, max: 1024 ** 4 }),
    limits.DEFAULT_MAX_WORKER_MEMORY_BYTES,
    {
      in: ['local', 'worker', 'verify', 'eval'],
      group: 'Network',
      help: 'refuse a run for which a worker needs more memory than this, besides the dataset',
    },
  ),

  http: withDefault(flag, true, {
    in: runs,
    group: 'Watching',
    help: 'or --no-http: serve the live page and /metrics',
  }),
  httpHost: withDefault(host, '127.0.0.1', {
    in: shows,
    group: 'Watching',
    help: 'address of the live page; beyond this machine it needs TLS and a token, or to be insecure',
  }),
  httpPort: withDefault(integer({ min: 0, max: 65_535 }, 'PORT'), DEFAULT_HTTP_PORT, {
    in: shows,
    group: 'Watching',
    help: 'port of the live page (if this default is in use: the next free one); 0 picks a free one',
  }),
  httpSslCertfile: withoutDefault(
    path('FILE', 'a PEM file with a certificate and the chain above it'),
    {
      in: shows,
      group: 'Watching',
      help: 'certificate with which the live page and /metrics speak HTTPS',
    },
  ),
  httpSslKeyfile: withoutDefault(path('FILE', 'a PEM file with the key of --http-ssl-certfile'), {
    in: shows,
    group: 'Watching',
    help: 'its private key',
  }),
  httpTokenFile: withoutDefault(
    path('FILE', `a readable file of at most ${limits.MAX_TOKEN_FILE_BYTES} bytes`),
    {
      in: shows,
      group: 'Watching',
      help: 'file with a token for the live page and /metrics: a bearer token, or a password in a browser',
    },
  ),
  httpLinger: withDefault(duration({ min: 0, max: limits.MAX_HTTP_LINGER_SECONDS }), 0, {
    in: runs,
    group: 'Watching',
    help: 'how long to wait at the end until /metrics was read once more, so that Prometheus sees the last values',
  }),

  nprocPerNode: withDefault(
    either(
      'N|auto|gpu',
      integer({ min: 1, max: limits.MAX_WORKERS }),
      choice(['auto', 'gpu'], { gpus: 'gpu', cuda: 'gpu', cpu: 'auto', cpus: 'auto', all: 'auto' }),
    ),
    limits.DEFAULT_WORKERS,
    {
      in: ['local', 'verify', 'eval'],
      group: 'Workers',
      short: 'n',
      help: 'worker processes; gpu: one for each GPU that this process may use; auto: the same, or one for each core',
    },
  ),
  minWorkers: withDefault(integer({ min: 1, max: limits.MAX_WORKERS }), 1, {
    in: runs,
    group: 'Workers',
    help: 'minimum number of workers to start and to continue',
  }),
  maxRestarts: withDefault(integer({ min: 0, max: 1_000_000 }), limits.DEFAULT_MAX_RESTARTS, {
    in: ['local'],
    group: 'Workers',
    help: 'how often to restart each process that crashes',
  }),
  startWorkers: withoutDefault(integer({ min: 1, max: limits.MAX_WORKERS }), {
    in: ['coordinator'],
    group: 'Workers',
    help: 'workers to wait for before step 1 (without it: --min-workers)',
  }),
  maxWorkers: withDefault(integer({ min: 1, max: limits.MAX_WORKERS }), limits.MAX_WORKERS, {
    in: runs,
    group: 'Workers',
    help: 'refuse more workers than these',
  }),
  rdzvTimeout: withDefault(seconds, limits.DEFAULT_RENDEZVOUS_TIMEOUT_SECONDS, {
    in: runs,
    group: 'Workers',
    help: 'how long to wait for workers, at the start and whenever too few are left',
  }),
  sharedMemory: withDefault(flag, true, {
    in: runs,
    group: 'Workers',
    help: 'exchange tensors with workers on this host through shared memory, not the socket',
  }),
  allowMixedEngines: withDefault(flag, false, {
    in: runs,
    group: 'Workers',
    help: 'accept workers that compute other bytes; the run is then not reproducible',
  }),
  audit: withDefault(
    decimal('a number from 0 to 1', (x) => x >= 0 && x <= 1),
    0,
    {
      in: runs,
      group: 'Workers',
      help: 'share of subtrees that a second worker computes too; they count only when both agree',
    },
  ),
  name: withoutDefault(name('a name'), {
    in: ['worker'],
    group: 'Workers',
    help: 'name of this worker in logs (without it: host name and process id)',
  }),
  engine: withDefault(choice(['auto', 'tensorflow', 'wasm', 'reference'], engineSynonyms), 'auto', {
    in: ['local', 'worker', 'verify', 'eval', 'bench'],
    group: 'Workers',
    help: "what computes gradients; auto: tensorflow, else wasm (verify: the run's)",
  }),
  device: withDefault(device, 'auto', {
    in: computes,
    group: 'Workers',
    help: 'what the engine runs on; cuda:N is the N-th GPU that this process may use (verify: as the run did)',
  }),
  threads: withDefault(integer({ min: 1, max: 1024 }), 1, {
    in: computes,
    group: 'Workers',
    help: 'threads of the engine of one worker (verify: as the run had); another number may give other bytes',
  }),

  tensorflow: withoutDefault(path('DIR|WHEEL', 'a folder or a .whl file of TensorFlow'), {
    in: ['setup'],
    group: 'Set-up',
    help: 'use this TensorFlow instead of the pinned wheel',
  }),
  gpu: withDefault(flag, false, {
    in: ['setup'],
    group: 'Set-up',
    help: 'set up for CUDA (without --gpu and --cpu: look)',
  }),
  cpu: withDefault(flag, false, {
    in: ['setup'],
    group: 'Set-up',
    help: 'set up for the processor only',
  }),
  offline: withDefault(flag, false, {
    in: ['setup'],
    group: 'Set-up',
    help: 'download nothing; say what is missing from the cache',
  }),

  batchSizes: withDefault(integers({ min: 1, max: limits.MAX_BATCH_SIZE }, 16), [32, 256], {
    in: ['bench'],
    group: 'Measuring',
    help: 'batch sizes of the grid',
  }),
  workers: withDefault(integers({ min: 1, max: limits.MAX_WORKERS }, 16), [1, 2, 4], {
    in: ['bench'],
    group: 'Measuring',
    help: 'worker counts of the grid',
  }),
  pairs: withDefault(integer({ min: 1, max: 1000 }), 7, {
    in: ['bench'],
    group: 'Measuring',
    help: 'interleaved repetitions of each measurement',
  }),

  out: withoutDefault(path('DIR', 'a folder'), {
    in: ['eval', 'dashboards', 'certs'],
    group: 'Output',
    help: 'folder for what is written; created when missing (without it: mnist-dist-dashboards, or certs; eval: a new one in the run)',
  }),
  overwrite: withDefault(flag, false, {
    in: ['dashboards'],
    group: 'Output',
    help: 'replace existing dashboards of mnist-dist that differ',
  }),
  days: withDefault(
    integer({ min: 1, max: limits.MAX_CERTIFICATE_DAYS }),
    limits.DEFAULT_CERTIFICATE_DAYS,
    { in: ['certs'], group: 'Output', help: 'validity of new certificates' },
  ),
  artifacts: withoutDefault(path('URI', 'file:DIR or s3://BUCKET/PREFIX'), {
    in: runs,
    group: 'Output',
    help: 'store that a finished run is put into; `push` sends what is missing there',
  }),
  pictures: withDefault(flag, true, {
    in: ['local', 'coordinator', 'show', 'eval'],
    group: 'Output',
    help: 'or --no-pictures: draw report and pictures at the end (show: without the pictures of mistakes)',
  }),
  format: withDefault(choice(['text', 'json', 'csv']), 'text', {
    in: ['eval', 'predict', 'runs'],
    group: 'Output',
    help: 'for people, for programs, or for spreadsheets',
  }),
  failUnder: withoutDefault(
    decimal('a number from 0 to 1', (x) => x >= 0 && x <= 1),
    {
      in: ['eval'],
      group: 'Output',
      help: 'end with an error where the accuracy, a ratio, is lower',
    },
  ),
  json: withDefault(flag, false, {
    in: ['doctor', 'bench'],
    group: 'Output',
    help: 'print JSON for machines',
  }),
  progress: withDefault(flag, true, {
    in: runs,
    group: 'Output',
    help: 'or --no-progress: show a progress line',
  }),
  logLevel: withDefault(choice(['debug', 'info', 'warn', 'error'], logLevelSynonyms), 'info', {
    in: talks,
    group: 'Output',
    help: 'least severe log line to show',
  }),
  logFormat: withDefault(choice(['text', 'json']), 'text', {
    in: talks,
    group: 'Output',
    help: 'log lines for people or for machines',
  }),
} as const satisfies Record<string, Option<unknown, Commands>>;
