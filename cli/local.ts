import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { readRunRecord } from '../coordinator/old-run.ts';
import { newRunId } from '../coordinator/run-directory.ts';
import { ClusterError, type ErrorCode } from '../shared/errors.ts';
import type { EngineKind } from '../shared/engine-identity.ts';
import { listGpus } from '../worker/native/devices.ts';
import { argumentsFor } from './child-arguments.ts';
import { chooseEngine, engineEnvironment } from './engine-choice.ts';
import { createLogger, type Log } from './log.ts';
import { Member } from './member.ts';
import type { LocalOptions, OptionKey } from './options.ts';
import { adoptRun } from './resume.ts';
import { generateToken, givenToken } from './token.ts';
import { onStop } from './supervised.ts';

/** One worker to be started. */
interface WorkerPlan {
  readonly name: string;
  readonly engine: EngineKind;
  readonly device: LocalOptions['device'];
  readonly environment: Readonly<Record<string, string>>;
}

/** `mnist-dist local`: starts a coordinator and workers as processes of their own and waits for them. */
export async function local(given: LocalOptions, explicit: ReadonlySet<OptionKey>): Promise<number> {
  const options = await adoptRun(given, explicit);
  const log = createLogger({
    level: options.logLevel,
    format: options.logFormat,
    destination: process.stderr,
  });
  const plans = await planWorkers(options, log);
  const port = await choosePort(options, explicit, log);
  const token = givenToken(options.tokenFile, process.env) ?? generateToken();
  const environment = { ...process.env, MNIST_DIST_TOKEN: token };
  // Named here, so that a coordinator that crashes can be started again with it.
  const runId = options.resume === undefined ? (options.runId ?? newRunId(new Date())) : undefined;
  const directory = options.resume ?? join(options.runsDir, runId ?? '');
  const termBefore = options.resume === undefined ? 0 : (await readRunRecord(directory)).term;
  const run = { ...options, port, tokenFile: undefined, startWorkers: plans.length };
  const common = { maxRestarts: options.maxRestarts, log };
  // Before the first child exists: a Ctrl-C from here on must end all of them.
  const stopping = new Stopping();
  onStop((code) => stopping.stop(code));
  const coordinator = new Member({
    ...{ ...common, name: 'coordinator', environment, output: 'inherit' },
    isDone: async () => {
      if (!existsSync(join(directory, 'run.json'))) return false;
      const { state, term } = await readRunRecord(directory);
      // A finished run that is prolonged says so until its coordinator has opened it.
      return state === 'finished' && term > termBefore;
    },
    args: (isRestart) =>
      argumentsFor(
        'coordinator',
        // Who died before its first run.json has left nothing to go on with.
        isRestart && existsSync(join(directory, 'run.json'))
          ? { ...run, runId: undefined, resume: directory }
          : { ...run, runId },
      ),
  });
  const host = options.host === '0.0.0.0' || options.host === '::' ? '127.0.0.1' : options.host;
  const url = `ws://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const workers = plans.map(({ name, engine, device, environment: own }) => {
    const settings = { ...options, name, engine, device, coordinator: url, tokenFile: undefined };
    const args = argumentsFor('worker', { ...settings, logLevel: workerLogLevel(options) });
    return new Member({
      ...{ ...common, name, environment: { ...environment, ...own }, output: 'capture' },
      args: () => args,
    });
  });
  return await supervise(coordinator, workers, stopping, log);
}

/** The word to stop, which may come before there is anybody to pass it to. */
class Stopping {
  #code: ErrorCode | undefined;
  #listener: ((code: ErrorCode) => void) | undefined;

  get code(): ErrorCode | undefined {
    return this.#code;
  }

  stop(code: ErrorCode): void {
    this.#code = code;
    this.#listener?.(code);
  }

  listen(listener: (code: ErrorCode) => void): void {
    this.#listener = listener;
    if (this.#code !== undefined) listener(this.#code);
  }
}

/** Ends with the coordinator's exit code; a worker that fails before step 1 ends the run, later the others go on. */
async function supervise(
  coordinator: Member,
  workers: readonly Member[],
  stopping: Stopping,
  log: Log,
): Promise<number> {
  let failure: number | undefined;
  stopping.listen((code) => coordinator.stop(code));
  // Whatever ends this process ends its children.
  process.on('exit', () => [coordinator, ...workers].forEach((child) => child.kill()));
  const alive = new Set(workers);
  for (const worker of workers) {
    void watch(worker);
  }
  async function watch(worker: Member): Promise<void> {
    const code = await worker.ended;
    alive.delete(worker);
    if (coordinator.hasEnded || stopping.code !== undefined || code === 0) return;
    log.warn({ worker: worker.name, code }, `${worker.name} ended with exit code ${code}; its last words:`);
    for (const line of worker.lastLines()) log.warn({ worker: worker.name }, `  ${line}`);
    if (coordinator.started && alive.size > 0) return;
    failure ??= code;
    stopping.stop('RUN_FAILED');
  }
  const code = await coordinator.ended;
  // A coordinator that finished has told its workers; of one that failed they would wait for another.
  if (code !== 0) for (const worker of alive) worker.stop('RUN_FAILED');
  await Promise.all([...alive].map((worker) => worker.end()));
  return failure ?? code;
}

async function planWorkers(options: LocalOptions, log: Log): Promise<WorkerPlan[]> {
  const gpus =
    options.engine === 'wasm' || options.engine === 'reference' || options.device === 'cpu'
      ? []
      : await listGpus();
  const count = workerCount(options.nprocPerNode, gpus.length);
  const { engine, native } = await chooseEngine(options, log);
  const usable = options.device === 'auto' ? gpus.length : Math.min(gpus.length, 1);
  if (usable > 0 && count > usable)
    log.warn({ workers: count, gpus: usable }, `${count} workers share ${usable} GPU(s)`);
  return Array.from({ length: count }, (_, i) => {
    const device =
      options.device === 'auto' && gpus.length > 0 ? (`cuda:${i % gpus.length}` as const) : options.device;
    const environment =
      native === undefined ? {} : engineEnvironment(native, { threads: options.threads, device });
    return { name: `w${i}`, engine, device, environment };
  });
}

function workerCount(wanted: LocalOptions['nprocPerNode'], gpus: number): number {
  if (wanted === 'auto') return gpus > 0 ? gpus : availableParallelism();
  if (wanted !== 'gpu') return wanted;
  if (gpus > 0) return gpus;
  throw new ClusterError('ENGINE', '--nproc-per-node gpu, but nvidia-smi lists no GPU', {
    fix: 'give a number, or auto; `npx mnist-dist doctor` says more',
  });
}

/** Workers speak only when something is wrong: the coordinator tells of the run. */
function workerLogLevel({ logLevel }: LocalOptions): LocalOptions['logLevel'] {
  return logLevel === 'debug' ? 'debug' : 'warn';
}

/** A free port when the default one is taken; a port that was asked for is the coordinator's to bind or to refuse. */
async function choosePort(
  { host, port }: LocalOptions,
  explicit: ReadonlySet<OptionKey>,
  log: Log,
): Promise<number> {
  if (port !== 0 && explicit.has('port')) return port;
  if (port !== 0 && (await tryPort(host, port)) !== undefined) return port;
  const free = await tryPort(host, 0);
  if (free === undefined) return port;
  if (port !== 0) log.info({ port: free }, `port ${port} is in use; this run takes ${free}`);
  return free;
}

async function tryPort(host: string, port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    const address = server.address();
    return address !== null && typeof address === 'object' ? address.port : undefined;
  } catch {
    // Taken, or not ours to bind; the coordinator says which when it tries.
    return undefined;
  } finally {
    server.close();
  }
}
