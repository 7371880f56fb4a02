import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { EXPIRY_MILLISECONDS, LockError, lockHolder } from '../../bin/lock.mjs';
import type { ImageSize } from '../../shared/dataset/image-size.ts';
import { loadDataset } from '../../shared/dataset/load-dataset.ts';
import { createKernels, kernelDigest } from '../../shared/kernels/kernels.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { COMPILER_FIX, findCompiler } from './compile.ts';
import { cudaLibraries, driverLibrary, missingLibraries } from './cuda.ts';
import { requireLoadable } from './loadable.ts';
import { readyTensorFlow } from './engine-manifest.ts';
import type { NativeEngine } from './engine-manifest.ts';
import { PIP_FIX, findPip } from './pip.ts';
import { packageRoot } from '../../shared/package-root.ts';
import { cacheDirectory, whyForbidden } from '../../shared/disk/cache-directory.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { diskUse } from './cache/disk-use.ts';
import { smokeTest } from './smoke.ts';
import { findUsableGpus, howMany } from './usable-gpus.ts';

/**
 * One requirement of a run, and whether it is met. `failed` means that this machine cannot train.
 */
export interface Row {
  readonly check: string;
  readonly status: 'ok' | 'warning' | 'failed';
  readonly detail: string;
  readonly fix?: string;
}

export interface DoctorOptions {
  readonly host?: string | undefined;
  readonly port?: number | undefined;
  readonly data?: string | undefined;
  readonly imageSize?: ImageSize | undefined;
  readonly testSplit?: number | undefined;
  readonly runsDir?: string | undefined;
}

const MIN_NODE = { major: 20, minor: 19 };
const MIN_RUNS_MEGABYTES = 100;
const SETUP_MEGABYTES = 1200;
const KERNEL_TRIAL_BYTES = 16 * 1024 ** 2;
const SETUP_FIX = 'run: npx mnist-dist setup';

/**
 * Checks all requirements of a run. `tryWasm` computes with the wasm engine and resolves with the
 * name and version of its library. Problems with the machine are reported as rows and never cause a
 * rejection.
 */
export async function doctorRows(
  tryWasm: () => Promise<string>,
  options: DoctorOptions = {},
): Promise<readonly Row[]> {
  const native = readyTensorFlow();
  const isReady = native !== undefined;
  const [compiler, pip, tensorflow, cuda, wasm, dataset, port, locks] = await Promise.all([
    compilerRow(isReady),
    pipRow(isReady),
    tensorFlowRow(native),
    cudaRow(native),
    wasmRow(tryWasm),
    datasetRow(options),
    portRow(options.host ?? '127.0.0.1', options.port ?? 29_400),
    lockRows([join(packageRoot, '.mnist-dist', 'lock'), join(cacheDirectory(), 'lock')]),
  ]);
  const engines = judgeEngines(tensorflow, wasm);
  return [
    nodeRow(),
    compiler,
    pip,
    libraryRow(native),
    ...engines,
    cuda,
    kernelsRow(),
    dataset,
    port,
    ...locks,
    cacheRow(isReady),
    useRow(),
    diskRow('disk: runs', resolve(options.runsDir ?? 'runs'), MIN_RUNS_MEGABYTES, 'failed'),
  ];
}

export function canTrain(rows: readonly Row[]): boolean {
  return rows.every(({ status }) => status !== 'failed');
}

/** One engine is enough: one missing engine is a warning, two are a failure. */
export function judgeEngines(tensorflow: Row, wasm: Row): readonly Row[] {
  const isHopeless = tensorflow.status !== 'ok' && wasm.status !== 'ok';
  return [tensorflow, wasm].map((row) =>
    row.status === 'ok' ? row : { ...row, status: isHopeless ? 'failed' : 'warning' },
  );
}

export function nodeRow(version: string = process.versions.node): Row {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < MIN_NODE.major || (major === MIN_NODE.major && minor < MIN_NODE.minor);
  if (!isOld) return { check: 'node', status: 'ok', detail: version };
  const fix = `install Node ${MIN_NODE.major}.${MIN_NODE.minor} or later: https://nodejs.org`;
  return { check: 'node', status: 'failed', detail: version, fix };
}

async function compilerRow(isReady: boolean): Promise<Row> {
  const compiler = await findCompiler();
  if (compiler !== undefined) return { check: 'compiler', status: 'ok', detail: compiler.version };
  return missingTool('compiler', isReady, COMPILER_FIX);
}

async function pipRow(isReady: boolean): Promise<Row> {
  const pip = await findPip();
  if (pip !== undefined)
    return { check: 'pip', status: 'ok', detail: `${pip.version}, ${pip.command.join(' ')}` };
  return missingTool('pip', isReady, PIP_FIX);
}

function missingTool(check: string, isReady: boolean, fix: string): Row {
  if (isReady)
    return {
      check,
      status: 'ok',
      detail: 'not found; needed only to set up TensorFlow, which is already done',
    };
  return {
    check,
    status: 'warning',
    detail: 'not found; TensorFlow cannot be set up without it',
    fix,
  };
}

function libraryRow(native: NativeEngine | undefined): Row {
  if (native === undefined) {
    return { check: 'tensorflow library', status: 'warning', detail: 'not set up', fix: SETUP_FIX };
  }
  return {
    check: 'tensorflow library',
    status: 'ok',
    detail: `${native.source} (${native.device})`,
  };
}

/** Loads the binding and multiplies two matrices in a child process. */
async function tensorFlowRow(native: NativeEngine | undefined): Promise<Row> {
  const check = 'engine tensorflow';
  if (native === undefined)
    return { check, status: 'warning', detail: 'not set up', fix: SETUP_FIX };
  try {
    await requireLoadable(native);
    const { version, gpu } = await smokeTest(native.binding, native.environment);
    return { check, status: 'ok', detail: `TensorFlow ${version}, ${gpu ? 'GPU' : 'CPU'}` };
  } catch (error) {
    return failure(check, error, SETUP_FIX);
  }
}

async function cudaRow(native: NativeEngine | undefined): Promise<Row> {
  const check = 'cuda';
  const usable = await findUsableGpus();
  if (usable.shown === 0) {
    return { check, status: 'ok', detail: 'no NVIDIA GPU was found; workers compute on the CPU' };
  }
  if (usable.problem !== undefined) {
    const fix = 'set the variable to GPUs that `nvidia-smi -L` lists, or unset it';
    return { check, status: 'warning', detail: howMany(usable), fix };
  }
  if (usable.gpus.length === 0)
    return { check, status: 'ok', detail: `${howMany(usable)}; workers compute on the CPU` };
  const list = usable.gpus.map(({ gpu, identifier }, i) => {
    const driver = gpu === undefined || gpu.driver === '' ? '' : `, driver ${gpu.driver}`;
    return `cuda:${i} ${gpu?.name ?? 'GPU'} (${identifier}${driver})`;
  });
  const names = `${list.join(', ')}; ${howMany(usable)}`;
  if (native?.device !== 'cuda') {
    return {
      check,
      status: 'warning',
      detail: `${names}; TensorFlow is set up without CUDA`,
      fix: 'run: npx mnist-dist setup --gpu',
    };
  }
  const missing = await missingLibraries([driverLibrary, ...cudaLibraries], native.environment);
  if (missing.size === 0) return { check, status: 'ok', detail: names };
  const fix = missing.has(driverLibrary)
    ? 'install the NVIDIA driver, or make it visible in this container (--gpus all)'
    : 'run: npx mnist-dist setup --gpu';
  return {
    check,
    status: 'warning',
    detail: `${names}; not found: ${[...missing.keys()].join(', ')}`,
    fix,
  };
}

async function wasmRow(tryWasm: () => Promise<string>): Promise<Row> {
  const check = 'engine wasm';
  try {
    return { check, status: 'ok', detail: await tryWasm() };
  } catch (error) {
    return failure(check, error, 'install the packages again: npm ci');
  }
}

function kernelsRow(): Row {
  try {
    const kernels = createKernels(KERNEL_TRIAL_BYTES);
    kernels.checksum(kernels.allocate(64), 64);
    return { check: 'kernels', status: 'ok', detail: `SHA-256 ${kernelDigest().slice(0, 16)}` };
  } catch (error) {
    const isLimited = error instanceof RangeError || error instanceof ReferenceError;
    const fix = isLimited
      ? 'start Node without --jitless, and raise the address-space limit (ulimit -v unlimited)'
      : 'build again: npm start';
    return { ...failure('kernels', error, fix), status: 'failed' };
  }
}

async function datasetRow({ data: directory, imageSize, testSplit }: DoctorOptions): Promise<Row> {
  try {
    const { digest } = await loadDataset(directory, { imageSize, testSplit });
    return {
      check: 'dataset',
      status: 'ok',
      detail: `${directory ?? 'MNIST'}, SHA-256 ${digest.slice(0, 16)}`,
    };
  } catch (error) {
    return { ...failure('dataset', error, 'install the packages again: npm ci'), status: 'failed' };
  }
}

function portRow(host: string, port: number): Promise<Row> {
  const check = `port ${port}`;
  return new Promise((done) => {
    const server = createServer();
    server.once('error', (error) => {
      const fix =
        'choose another port with --port (0 picks a free one); `local` picks a free one on its own';
      done({ check, status: 'warning', detail: `${host}: ${error.message}`, fix });
    });
    server.listen({ host, port, exclusive: true }, () => {
      server.close(() => {
        done({ check, status: 'ok', detail: `free on ${host}` });
      });
    });
  });
}

/**
 * Rows for the locks that a set-up would wait for. Locks that a set-up would take over immediately
 * are omitted.
 */
async function lockRows(locks: readonly string[]): Promise<readonly Row[]> {
  const rows = locks.map(async (lock): Promise<readonly Row[]> => {
    const holder = await holderOf(lock);
    if (holder instanceof Error) return [unreadableLock(lock, holder)];
    if (holder === undefined) return [];
    const { owner, isRenewed, expires } = holder;
    const what = isRenewed
      ? 'which is running: a set-up waits until it is done'
      : expires
        ? `which has not renewed it: a set-up waits ${EXPIRY_MILLISECONDS / 1000} s, then takes ` +
          `it over`
        : 'which is running an older version: a set-up waits until it is done';
    const fix = `wait, or stop ${owner}; remove ${lock} if that process is not running a set-up`;
    return [
      {
        check: 'set-up lock',
        status: 'warning',
        detail: `${lock} is held by ${owner}, ${what}`,
        fix,
      },
    ];
  });
  return (await Promise.all(rows)).flat();
}

/** The holder of a lock, or why this user cannot know it. */
async function holderOf(lock: string): Promise<Awaited<ReturnType<typeof lockHolder>> | Error> {
  try {
    return await lockHolder(lock);
  } catch (error) {
    if (error instanceof LockError || (error instanceof Error && systemCode(error) !== undefined))
      return error;
    throw error;
  }
}

function unreadableLock(lock: string, error: Error): Row {
  const isSaid = error instanceof LockError;
  return {
    check: 'set-up lock',
    status: 'warning',
    detail: isSaid ? error.message : `${lock} cannot be read: ${error.message}`,
    fix: isSaid ? error.fix : 'choose a folder that you can read: MNIST_DIST_CACHE=DIR',
  };
}

function diskRow(
  check: string,
  directory: string,
  megabytes: number,
  status: 'warning' | 'failed',
): Row {
  try {
    const existing = existingAbove(directory);
    accessSync(existing, constants.W_OK);
    const { bavail, bsize } = statfsSync(existing);
    const free = Math.floor((bavail * bsize) / 1e6);
    if (free >= megabytes)
      return { check, status: 'ok', detail: `${free} MB free for ${directory}` };
    return {
      check,
      status,
      detail: `${free} MB free for ${directory}`,
      fix: `free at least ${megabytes} MB, or choose another folder`,
    };
  } catch (error) {
    const isForbidden = systemCode(error) === 'EACCES';
    const why = isForbidden ? new Error(`${directory}: ${whyForbidden(directory)}`) : error;
    return { ...failure(check, why, 'choose another folder'), status };
  }
}

/** The disk space used by each part of the cache and by this installation. */
function useRow(): Row {
  const check = 'disk: used';
  try {
    return { check, status: 'ok', detail: diskUse(cacheDirectory()) };
  } catch (error) {
    return failure(check, error, 'choose another folder: MNIST_DIST_CACHE=DIR');
  }
}

function cacheRow(isReady: boolean): Row {
  try {
    return diskRow('disk: cache', cacheDirectory(), isReady ? 0 : SETUP_MEGABYTES, 'warning');
  } catch (error) {
    return failure('disk: cache', error, 'choose another folder: MNIST_DIST_CACHE=DIR');
  }
}

function existingAbove(directory: string): string {
  let existing = directory;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  return existing;
}

function failure(check: string, error: unknown, otherwise: string): Row {
  const fix = error instanceof ClusterError ? (error.fix ?? otherwise) : otherwise;
  return { check, status: 'warning', detail: messageOf(error), fix };
}

const marks: Record<Row['status'], string> = { ok: 'ok', warning: 'warn', failed: 'FAIL' };

/** The rows as a table: check, status and detail, and a line for each fix. */
export function rowLines(rows: readonly Row[]): string[] {
  const width = Math.max(...rows.map(({ check }) => check.length));
  return rows.flatMap(({ check, status, detail, fix }) => [
    `${check.padEnd(width)}  ${marks[status].padEnd(4)}  ${detail.replaceAll('\n', ' ')}`,
    ...(fix === undefined ? [] : [`${' '.repeat(width)}        fix: ${fix}`]),
  ]);
}
