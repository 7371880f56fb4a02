import { availableParallelism } from 'node:os';
import { ClusterError } from '../../shared/errors.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { findUsableGpus, howMany, type UsableGpus } from '../../worker/native/usable-gpus.ts';
import { argumentsFor } from './child-arguments.ts';
import { chooseEngine } from './engine-choice.ts';
import { engineEnvironment } from './engine-environment.ts';
import type { Log } from '../terminal/log.ts';
import { checkMachine } from './machine.ts';
import { RestartingProcess, type RestartingProcessOptions } from './restarting-process.ts';
import { MAX_RETRIES, WEEK_SECONDS } from '../options/value-types.ts';
import type { EvalOptions, LocalOptions, SweepOptions, VerifyOptions } from '../options/options.ts';

/** The settings for a worker that is to be started. */
export interface WorkerPlan {
  readonly name: string;
  readonly engine: EngineKind;
  readonly device: LocalOptions['device'];
  readonly threads: number;
  readonly environment: Readonly<Record<string, string>>;
}

export type WorkerChoice = Pick<LocalOptions, 'nprocPerNode' | 'engine' | 'device' | 'threads'>;

/**
 * Plans the workers for --nproc-per-node: their number, engine and devices. Sets up TensorFlow if
 * it is needed and missing. Rejects with ENGINE, SETUP, LIMIT or DISK.
 */
export async function planWorkers(options: WorkerChoice, log: Log): Promise<WorkerPlan[]> {
  // Must come before TensorFlow is set up, which may require a long download.
  if (options.nprocPerNode === 'gpu') requireAnyGpu(await findUsableGpus());
  const { engine, native, gpus } = await chooseEngine(options, log);
  // TensorFlow may be set up without CUDA, or not at all.
  const available = native?.device === 'cuda' ? gpus.gpus.length : 0;
  const count = workerCount(options, available);
  checkMachine(count);
  const usable = options.device === 'auto' ? available : Math.min(available, 1);
  if (usable > 0 && count > usable)
    log.warn({ workers: count, gpus: usable }, `${count} workers share ${usable} GPU(s)`);
  return Array.from({ length: count }, (_, i) => {
    const device =
      options.device === 'auto' && available > 0
        ? (`cuda:${i % available}` as const)
        : options.device;
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
    '--nproc-per-node gpu was given, but the workers would not use a GPU ' +
      `(--engine ${engine}, --device ${device})`,
    { fix: 'use a number, or set up TensorFlow for GPUs: npx mnist-dist setup --gpu' },
  );
}

function requireAnyGpu(usable: UsableGpus): void {
  if (usable.gpus.length > 0) return;
  throw new ClusterError('ENGINE', `--nproc-per-node gpu, but ${howMany(usable)}`, {
    fix: 'use a number or auto; `npx mnist-dist doctor` explains what is missing',
  });
}

const CRASH_FIX =
  "if files of TensorFlow's library were changed, replace them with: mnist-dist setup --repair";

type OptionsOfCommand = (LocalOptions | SweepOptions | VerifyOptions | EvalOptions) & {
  readonly sslCaCertfile?: string | undefined;
};

/** The command line of a planned worker. */
export function workerArguments(
  { name, engine, device, threads }: WorkerPlan,
  options: OptionsOfCommand,
  coordinator: string,
): string[] {
  return argumentsFor('worker', {
    ...options,
    name,
    engine,
    device,
    threads,
    coordinator,
    // The coordinator reports on the run, so workers log only warnings and errors.
    logLevel: options.logLevel === 'debug' ? 'debug' : 'warn',
    tokenFile: undefined,
    // This command ends its workers, and they end with it. Until then they wait even for a
    // coordinator that is suspended, or that a paused terminal (Ctrl-S) holds up. Limits in
    // the environment and the configuration file are for other workers.
    maxWaitTime: WEEK_SECONDS,
    maxRetries: MAX_RETRIES,
  });
}

/** Starts a planned worker on this machine; `common.environment` contains the token. */
export function startWorker(
  plan: WorkerPlan,
  options: OptionsOfCommand,
  coordinator: string,
  common: Pick<RestartingProcessOptions, 'environment' | 'maxRestarts' | 'restarting' | 'log'>,
): RestartingProcess {
  const args = workerArguments(plan, options, coordinator);
  return new RestartingProcess({
    ...common,
    name: plan.name,
    environment: { ...common.environment, ...plan.environment },
    output: 'capture',
    args: () => args,
    crashFix: plan.engine === 'tensorflow' ? CRASH_FIX : undefined,
  });
}
