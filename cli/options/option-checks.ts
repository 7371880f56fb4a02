import { accessSync, constants, statSync, type Stats } from 'node:fs';
import { DATASET_FILES_TEXT } from '../../shared/dataset/dataset-files.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MAX_TOKEN_FILE_BYTES } from '../../shared/limits.ts';
import { isLoopback } from '../../shared/wire/address.ts';
import { parseStoreUri } from '../../artifacts/store/store-address.ts';
import type {
  CoordinatorOptions,
  LocalOptions,
  OptionKey,
  SetupOptions,
  ShowOptions,
  WorkerOptions,
} from './options.ts';
import type { GivenOf } from './origin.ts';
import { notAllowed, sources } from './origin.ts';

/**
 * What one option alone cannot know: whether the options of a run fit together and the files they
 * name are there.
 */
export function checkRunOptions(options: LocalOptions | CoordinatorOptions, given: GivenOf): void {
  const { virtualShards, batchSize, minWorkers, maxWorkers } = options;
  if ((virtualShards & (virtualShards - 1)) !== 0) {
    const lower = 2 ** (31 - Math.clz32(virtualShards));
    const fix = `Allowed: a power of two, such as ${lower} or ${lower * 2}.`;
    throw notAllowed('virtualShards', given('virtualShards'), fix, 'not a power of two');
  }
  if (virtualShards > batchSize) {
    const fix = `Allowed: a power of two from 1 to ${2 ** (31 - Math.clz32(batchSize))} with this --batch-size.`;
    throw notAllowed(
      'virtualShards',
      given('virtualShards'),
      fix,
      `more shards than ${given('batchSize').shown} has samples`,
    );
  }
  if (minWorkers > maxWorkers) {
    const fix = `Allowed: --min-workers from 1 to ${maxWorkers}, or a larger --max-workers.`;
    throw notAllowed(
      'minWorkers',
      given('minWorkers'),
      fix,
      `more than ${given('maxWorkers').shown}`,
    );
  }
  if (options.audit > 0 && options.allowMixedEngines) {
    const fix =
      'An audit compares bytes, and mixed engines compute different ones: leave one of the two out.';
    throw notAllowed(
      'audit',
      given('audit'),
      fix,
      `together with ${given('allowMixedEngines').shown}`,
    );
  }
  checkData(options, given);
  checkToken(options, given);
  // Before anything is computed that could not be kept.
  if (options.artifacts !== undefined) parseStoreUri(options.artifacts);
}

/** `local` starts its workers on this machine: more than --max-workers could never join. */
export function checkLocal(options: LocalOptions, given: GivenOf): void {
  const { nprocPerNode, maxWorkers } = options;
  if (typeof nprocPerNode === 'number' && nprocPerNode > maxWorkers) {
    const fix = `Allowed: --nproc-per-node from 1 to ${maxWorkers}, or a larger --max-workers.`;
    throw notAllowed(
      'nprocPerNode',
      given('nprocPerNode'),
      fix,
      `more than ${given('maxWorkers').shown}`,
    );
  }
}

/** A listener beyond this machine speaks TLS, or is allowed not to. */
export function checkListener(
  options: Pick<CoordinatorOptions, 'host' | 'insecure' | 'sslCertfile'>,
  given: GivenOf,
): void {
  if (isLoopback(options.host) || options.insecure || options.sslCertfile !== undefined) return;
  const fix =
    'Make a certificate, `mnist-dist certs NAME`, and give --ssl-certfile and --ssl-keyfile; on a network you trust --insecure.';
  throw notAllowed('host', given('host'), fix, 'reachable beyond this machine, without TLS');
}

interface PageOptions {
  readonly http?: boolean;
  readonly httpHost: string;
  readonly httpSslCertfile: string | undefined;
  readonly httpTokenFile: string | undefined;
  readonly insecure: boolean;
}

/** Whoever reaches the page sees the run. */
export function checkPageHost(options: PageOptions, given: GivenOf): void {
  checkTokenFile('httpTokenFile', options.httpTokenFile, given);
  if (options.http === false || isLoopback(options.httpHost) || options.insecure) return;
  if (options.httpSslCertfile !== undefined && options.httpTokenFile !== undefined) return;
  const fix =
    'Give --http-ssl-certfile, --http-ssl-keyfile and --http-token-file; on a network you trust --insecure; or reach it through ssh -L.';
  const why =
    options.httpSslCertfile === undefined
      ? 'reachable beyond this machine, without TLS'
      : 'reachable beyond this machine, without a token';
  throw notAllowed('httpHost', given('httpHost'), fix, why);
}

/** One port is not for both listeners; a default of the page's goes out of the way by itself. */
export function checkPorts(options: LocalOptions | CoordinatorOptions, given: GivenOf): void {
  const { host, port, http, httpHost, httpPort } = options;
  if (!http || port === 0 || port !== httpPort || host !== httpHost) return;
  if (given('httpPort').source === 'default') return;
  const fix =
    'Workers and page each need a port of their own: choose another, 0 for any free one, or --no-http.';
  throw notAllowed(
    'httpPort',
    given('httpPort'),
    fix,
    `the port of workers is ${given('port').shown}`,
  );
}

/** Nothing is written without pictures. */
export function checkOut(
  options: { readonly out: string | undefined; readonly pictures: boolean },
  given: GivenOf,
): void {
  if (options.out === undefined || options.pictures) return;
  const fix = 'Leave one of the two out: --out is where report and pictures go.';
  throw notAllowed('out', given('out'), fix, `together with ${given('pictures').shown}`);
}

export function checkWorkerOptions(options: WorkerOptions, given: GivenOf): void {
  const { coordinator, join, insecure } = options;
  checkToken(options, given);
  const { protocol, hostname } = new URL(coordinator);
  if (join !== undefined || protocol === 'wss:' || isLoopback(hostname) || insecure) return;
  const fix =
    'Dial wss:// (--ssl-certfile there), or use --join; on a network you trust --insecure: its readers see weights and dataset.';
  throw notAllowed('coordinator', given('coordinator'), fix, 'on another machine, without TLS');
}

export function checkData({ data }: Pick<ShowOptions, 'data'>, given: GivenOf): void {
  if (data === undefined || statSync(data, { throwIfNoEntry: false })?.isDirectory() === true)
    return;
  const fix = `Allowed: an existing folder with ${DATASET_FILES_TEXT}.`;
  throw notAllowed('data', given('data'), fix, 'there is no such folder');
}

export function checkToken({ tokenFile }: Pick<WorkerOptions, 'tokenFile'>, given: GivenOf): void {
  checkTokenFile('tokenFile', tokenFile, given);
}

function checkTokenFile(key: OptionKey, file: string | undefined, given: GivenOf): void {
  if (file === undefined) return;
  const fix = `Allowed: a readable file of 1 to ${MAX_TOKEN_FILE_BYTES} bytes.`;
  const refuse = (why: string): ClusterError => notAllowed(key, given(key), fix, why);
  let stat: Stats | undefined;
  try {
    stat = statSync(file, { throwIfNoEntry: false });
    if (stat !== undefined) accessSync(file, constants.R_OK);
  } catch {
    throw refuse('not readable');
  }
  if (stat === undefined) throw refuse('there is no such file');
  if (stat.isDirectory()) throw refuse('a folder');
  if (stat.size > MAX_TOKEN_FILE_BYTES) throw refuse(`${stat.size} bytes`);
}

/**
 * --gpu and --cpu exclude each other; the one that was said closer to the command wins, of equals
 * neither.
 */
export function settleDevice(options: SetupOptions, given: GivenOf): SetupOptions {
  if (!options.gpu || !options.cpu) return options;
  const [gpu, cpu] = [given('gpu'), given('cpu')];
  if (gpu.source === cpu.source) {
    throw new ClusterError('USAGE', `${gpu.shown} and ${cpu.shown} exclude each other`, {
      fix: 'Keep one of them.',
    });
  }
  const gpuWins = sources.indexOf(gpu.source) < sources.indexOf(cpu.source);
  return { ...options, gpu: gpuWins, cpu: !gpuWins };
}
