import { accessSync, constants, statSync, type Stats } from 'node:fs';
import { isEmnistPrefix } from '../../shared/dataset/formats/emnist.ts';
import { DATA_TEXT } from '../../shared/dataset/dataset-files.ts';
import type { ImageSize } from '../../shared/dataset/image-size.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MAX_TOKEN_FILE_BYTES } from '../../shared/limits.ts';
import { isLoopback } from '../../shared/wire/address.ts';
import { parseStoreUri } from '../../artifacts/store/store-address.ts';
import type {
  CoordinatorOptions,
  LocalOptions,
  OptionKey,
  PredictOptions,
  SetupOptions,
  ShowOptions,
  WorkerOptions,
} from './options.ts';
import { isDescription } from '../models/model-names.ts';
import type { GivenOf } from './origin.ts';
import { notAllowed, sources } from './origin.ts';
import { checkRecipe } from './recipe-checks.ts';

/** Checks that a run's options agree with each other and that the files they refer to exist. */
export function checkRunOptions(options: LocalOptions | CoordinatorOptions, given: GivenOf): void {
  const { virtualShards, batchSize, minWorkers, maxWorkers } = options;
  if ((virtualShards & (virtualShards - 1)) !== 0) {
    const lower = 2 ** (31 - Math.clz32(virtualShards));
    const fix = `allowed: a power of two, such as ${lower} or ${lower * 2}`;
    throw notAllowed('virtualShards', given('virtualShards'), fix, 'not a power of two');
  }
  if (virtualShards > batchSize) {
    const most = 2 ** (31 - Math.clz32(batchSize));
    const fix = `allowed: a power of two from 1 to ${most} with this --batch-size`;
    const why = `more shards than ${given('batchSize').shown} has samples`;
    throw notAllowed('virtualShards', given('virtualShards'), fix, why);
  }
  if (minWorkers > maxWorkers) {
    const fix = `allowed: --min-workers from 1 to ${maxWorkers}, or a larger --max-workers`;
    const why = `more than ${given('maxWorkers').shown}`;
    throw notAllowed('minWorkers', given('minWorkers'), fix, why);
  }
  if (options.audit > 0 && options.allowMixedEngines) {
    const fix =
      'remove one of the two: an audit compares bytes, which differ between mixed engines';
    const why = `together with ${given('allowMixedEngines').shown}`;
    throw notAllowed('audit', given('audit'), fix, why);
  }
  checkRecipe(options, given);
  checkData(options, given);
  checkToken(options, given);
  // Detects an invalid URI before the training rather than after it.
  if (options.artifacts !== undefined) parseStoreUri(options.artifacts);
}

/** Rejects more workers on this machine than may join the run. */
export function checkLocal(options: LocalOptions, given: GivenOf): void {
  const { nprocPerNode, maxWorkers } = options;
  if (typeof nprocPerNode !== 'number' || nprocPerNode <= maxWorkers) return;
  const fix = `allowed: --nproc-per-node from 1 to ${maxWorkers}, or a larger --max-workers`;
  const why = `more than ${given('maxWorkers').shown}`;
  throw notAllowed('nprocPerNode', given('nprocPerNode'), fix, why);
}

/** Rejects an address that other machines can reach without TLS, unless --insecure is set. */
export function checkListener(
  options: Pick<CoordinatorOptions, 'host' | 'insecure' | 'sslCertfile'>,
  given: GivenOf,
): void {
  if (isLoopback(options.host) || options.insecure || options.sslCertfile !== undefined) return;
  const fix =
    'create a certificate with `mnist-dist certs NAME` and set --ssl-certfile and ' +
    '--ssl-keyfile, or set --insecure on a network that you trust';
  throw notAllowed('host', given('host'), fix, 'reachable from other machines without TLS');
}

interface PageOptions {
  readonly http?: boolean;
  readonly httpHost: string;
  readonly httpSslCertfile: string | undefined;
  readonly httpTokenFile: string | undefined;
  readonly insecure: boolean;
}

/**
 * On an address that other machines can reach, the page needs both TLS and a token, since it would
 * otherwise show the run to every visitor.
 */
export function checkPageHost(options: PageOptions, given: GivenOf): void {
  checkTokenFile('httpTokenFile', options.httpTokenFile, given);
  if (options.http === false || isLoopback(options.httpHost) || options.insecure) return;
  if (options.httpSslCertfile !== undefined && options.httpTokenFile !== undefined) return;
  const fix =
    'set --http-ssl-certfile, --http-ssl-keyfile and --http-token-file, or --insecure on a ' +
    'network that you trust; or connect through ssh -L';
  const lacking = options.httpSslCertfile === undefined ? 'TLS' : 'a token';
  const why = `reachable from other machines without ${lacking}`;
  throw notAllowed('httpHost', given('httpHost'), fix, why);
}

/**
 * Workers and the page need different ports. If --http-port is not set, the page picks a free port.
 */
export function checkPorts(options: LocalOptions | CoordinatorOptions, given: GivenOf): void {
  const { host, port, http, httpHost, httpPort } = options;
  if (!http || port === 0 || port !== httpPort || host !== httpHost) return;
  if (given('httpPort').source === 'default') return;
  const fix = 'choose a different port for one of them, use 0 for any free port, or set --no-http';
  const why = `workers use the same port: ${given('port').shown}`;
  throw notAllowed('httpPort', given('httpPort'), fix, why);
}

/** Rejects --out without pictures, which would write nothing. */
export function checkOut(
  options: { readonly out: string | undefined; readonly pictures: boolean },
  given: GivenOf,
): void {
  if (options.out === undefined || options.pictures) return;
  const fix = 'remove one of the two: --out is the folder for the report and its pictures';
  throw notAllowed('out', given('out'), fix, `together with ${given('pictures').shown}`);
}

export function checkWorkerOptions(options: WorkerOptions, given: GivenOf): void {
  const { coordinator, join, insecure, sslCaCertfile, sslCaSha256 } = options;
  checkToken(options, given);
  if (sslCaCertfile !== undefined && sslCaSha256 !== undefined) {
    const why = `together with ${given('sslCaCertfile').shown}`;
    throw notAllowed('sslCaSha256', given('sslCaSha256'), 'keep one of them', why);
  }
  const { protocol, hostname } = new URL(coordinator);
  if (join !== undefined || protocol === 'wss:' || isLoopback(hostname) || insecure) return;
  const fix =
    'use a wss:// address (the coordinator needs --ssl-certfile) or --join, or set --insecure on ' +
    'a network that you trust; others on it can then read the weights and the dataset';
  throw notAllowed('coordinator', given('coordinator'), fix, 'a different machine, without TLS');
}

interface DataOptions extends Pick<ShowOptions, 'data'> {
  readonly imageSize?: ImageSize | undefined;
  readonly testSplit?: number | undefined;
  readonly resume?: string | undefined;
}

export function checkData(options: DataOptions, given: GivenOf): void {
  const { data, resume } = options;
  for (const key of ['imageSize', 'testSplit'] as const)
    if (options[key] !== undefined && data === undefined && resume === undefined)
      throw notAllowed(key, given(key), 'set --data as well', 'without --data');
  if (data === undefined) return;
  const fix = `allowed: an existing file or folder: ${DATA_TEXT}`;
  let stat: Stats | undefined;
  try {
    stat = statSync(data, { throwIfNoEntry: false });
  } catch {
    throw notAllowed('data', given('data'), fix, 'not readable');
  }
  if (stat === undefined && !isEmnistPrefix(data))
    throw notAllowed('data', given('data'), fix, 'it does not exist');
}

/** Rejects the settings of the model mlp for a different model. */
export function checkModel({ model }: Pick<CoordinatorOptions, 'model'>, given: GivenOf): void {
  if (model === undefined || model === 'mlp') return;
  for (const key of ['hidden', 'dropout'] as const) {
    if (given(key).source === 'default') continue;
    const fix = `remove it: ${given('model').shown} describes all of its layers`;
    throw notAllowed(key, given(key), fix, 'only for the model mlp');
  }
}

/**
 * A model to train, in a file or an environment that other commands use too, is not a model to
 * predict with.
 */
export function settlePredict(options: PredictOptions, given: GivenOf): PredictOptions {
  const { model } = options;
  const isMeant = given('model').source === 'flag' || model === undefined || !isDescription(model);
  return isMeant ? options : { ...options, model: undefined };
}

export function checkToken({ tokenFile }: Pick<WorkerOptions, 'tokenFile'>, given: GivenOf): void {
  checkTokenFile('tokenFile', tokenFile, given);
}

function checkTokenFile(key: OptionKey, file: string | undefined, given: GivenOf): void {
  if (file === undefined) return;
  const fix = `allowed: a readable file of 1 to ${MAX_TOKEN_FILE_BYTES} bytes`;
  const refuse = (why: string): ClusterError => notAllowed(key, given(key), fix, why);
  let stat: Stats | undefined;
  try {
    stat = statSync(file, { throwIfNoEntry: false });
    if (stat !== undefined) accessSync(file, constants.R_OK);
  } catch {
    throw refuse('not readable');
  }
  if (stat === undefined) throw refuse('the file does not exist');
  if (stat.isDirectory()) throw refuse('a folder');
  if (stat.size > MAX_TOKEN_FILE_BYTES) throw refuse(`${stat.size} bytes`);
}

/** Without --steps if --epochs comes from a stronger source, such as a flag over a file. */
export function settleLength<O extends LocalOptions | CoordinatorOptions>(
  options: O,
  given: GivenOf,
): O {
  const [epochs, steps] = [given('epochs').source, given('steps').source];
  const isOverridden = sources.indexOf(epochs) < sources.indexOf(steps);
  return isOverridden ? { ...options, steps: undefined } : options;
}

/**
 * --gpu and --cpu are mutually exclusive: the one from the stronger source wins. Throws USAGE if
 * both come from the same source.
 */
export function settleDevice(options: SetupOptions, given: GivenOf): SetupOptions {
  if (!options.gpu || !options.cpu) return options;
  const [gpu, cpu] = [given('gpu'), given('cpu')];
  if (gpu.source === cpu.source) {
    throw new ClusterError('USAGE', `${gpu.shown} and ${cpu.shown} are mutually exclusive`, {
      fix: 'keep one of them',
    });
  }
  const gpuWins = sources.indexOf(gpu.source) < sources.indexOf(cpu.source);
  return { ...options, gpu: gpuWins, cpu: !gpuWins };
}
