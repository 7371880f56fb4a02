import { availableParallelism } from 'node:os';
import { ClusterError } from '../../shared/errors.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { findUsableGpus, howMany, type UsableGpus } from '../../worker/native/usable-gpus.ts';
import { argumentsFor } from './child-arguments.ts';
import { chooseEngine, engineEnvironment } from './engine-choice.ts';
import type { Log } from '../terminal/log.ts';
import { checkMachine } from './machine.ts';
import { RestartingProcess, type RestartingProcessOptions } from './restarting-process.ts';
import type { EvalOptions, LocalOptions, VerifyOptions } from '../options/options.ts';

/** One worker to be started. */
export interface WorkerPlan {
  readonly name: string;
  readonly engine: EngineKind;
  readonly device: LocalOptions['device'];
  readonly threads: number;
  readonly environment: Readonly<Record<string, string>>;
}

export type WorkerChoice = Pick<LocalOptions, 'nprocPerNode' | 'engine' | 'device' | 'threads'>;

/**
 * The processes that -n asks for, with the engine they compute with; TensorFlow is set up now if
 * need be.
 */
export async function planWorkers(options: WorkerChoice, log: Log): Promise<WorkerPlan[]> {
  // Known before TensorFlow is set up, which may be a long download.
  if (options.nprocPerNode === 'gpu') requireAnyGpu(await findUsableGpus());
  const { engine, native, gpus } = await chooseEngine(options, log);
  // TensorFlow may have been set up without CUDA, or not at all.
  const there = native?.device === 'cuda' ? gpus.gpus.length : 0;
  const count = workerCount(options, there);
  checkMachine(count, engine);
  const usable = options.device === 'auto' ? there : Math.min(there, 1);
  if (usable > 0 && count > usable)
    log.warn({ workers: count, gpus: usable }, `${count} workers share ${usable} GPU(s)`);
  return Array.from({ length: count }, (_, i) => {
    const device =
      options.device === 'auto' && there > 0 ? (`cuda:${i % there}` as const) : options.device;
    const environment =
      native === undefined
        ? {}
        : engineEnvironment(native, { threads: options.threads, device }, gpus);
    return { name: `w${i}`, engine, device, threads: options.threads, environment };
  });
}

function workerCount({ nprocPerNode, engine, device }: WorkerChoice, gpus: number): number {
  if (nprocPerNode === 'auto') return gpus > 0 ? gpus : availableParallelism();
  if (nprocPerNode !== 'gpu') return nprocPerNode;
  if (gpus > 0) return gpus;
  throw new ClusterError(
    'ENGINE',
    `--nproc-per-node gpu, but the workers would compute without a GPU (--engine ${engine}, --device ${device})`,
    { fix: 'give a number, or set TensorFlow up for GPUs: npx mnist-dist setup --gpu' },
  );
}

function requireAnyGpu(usable: UsableGpus): void {
  if (usable.gpus.length > 0) return;
  throw new ClusterError('ENGINE', `--nproc-per-node gpu, but ${howMany(usable)}`, {
    fix: 'give a number, or auto; `npx mnist-dist doctor` says more',
  });
}

/** Starts the planned worker of a coordinator on this machine; `environment` holds the token. */
export function startWorker(
  { name, engine, device, threads, environment: own }: WorkerPlan,
  options: (LocalOptions | VerifyOptions | EvalOptions) & {
    readonly sslCaCertfile?: string | undefined;
  },
  coordinator: string,
  common: Pick<RestartingProcessOptions, 'environment' | 'maxRestarts' | 'log'>,
): RestartingProcess {
  // Workers speak only when something is wrong: the coordinator tells of the run.
  const logLevel = options.logLevel === 'debug' ? 'debug' : 'warn';
  const settings = {
    ...options,
    name,
    engine,
    device,
    threads,
    coordinator,
    logLevel,
    tokenFile: undefined,
  } as const;
  const args = argumentsFor('worker', settings);
  const environment = { ...common.environment, ...own };
  return new RestartingProcess({
    ...common,
    name,
    environment,
    output: 'capture',
    args: () => args,
  });
}
