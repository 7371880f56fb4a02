import { readFile, rm } from 'node:fs/promises';
import { counted } from '../../shared/text/number-format.ts';
import { join } from 'node:path';
import { argumentsFor } from '../processes/child-arguments.ts';
import { Child } from '../processes/child-process.ts';
import { ClusterError } from '../../shared/errors.ts';
import { defaultVirtualShards } from '../../shared/arithmetic/virtual-shards.ts';
import { BENCH_RUN_LIMIT_MILLISECONDS, BENCH_RUN_MILLISECONDS } from './bench-limits.ts';
import { readMetrics } from '../../shared/files/metrics.ts';
import { parseRunRecord } from '../../shared/files/run-schema.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import type { Cell } from './cell.ts';
import { median } from '../../shared/median.ts';
import { DROPOUT, HIDDEN, SEED } from './workload.ts';
import { METRICS_FILE, RECORD_FILE } from '../../shared/files/run-layout.ts';

/** Steps before the measured ones. steps_per_second in run.json excludes them as well. */
export const WARM_UP_STEPS = 200;
const MIN_STEPS = 50;
const MAX_STEPS = 5_000;

export interface LoopCell extends Cell {
  readonly batchSize: number;
  readonly virtualShards: number;
  readonly workers: number;
  /** Number of measured steps; undefined before the first repetition. */
  readonly steps: number | undefined;
  /** One value per repetition, from run.json. */
  readonly stepsPerSecond: number[];
  /** Median duration of the measured steps, one value per repetition, from metrics.jsonl. */
  readonly stepMilliseconds: number[];
}

export interface LoopOptions {
  readonly batchSizes: readonly number[];
  readonly workers: readonly number[];
  readonly engine: EngineKind;
  /** Folder for the run directories; each is removed once it has been read. */
  readonly directory: string;
  readonly environment: NodeJS.ProcessEnv;
  /** Number of measured steps; if undefined, as many as take about BENCH_RUN_MILLISECONDS. */
  readonly steps: number | undefined;
  /** Estimated milliseconds per step. */
  readonly estimate: (batchSize: number, workers: number) => number;
  readonly signal: AbortSignal;
}

/**
 * Cells that measure the full loop. Each measurement is a run of `mnist-dist local` with default
 * features.
 */
export function loopCells(options: LoopOptions): LoopCell[] {
  let runs = 0;
  return options.batchSizes.flatMap((batchSize) =>
    options.workers.map((workers): LoopCell => {
      let steps = options.steps;
      const cell = {
        name: `full loop, batch ${batchSize}, ${counted(workers, 'worker')}`,
        batchSize,
        workers,
        virtualShards: defaultVirtualShards(batchSize),
        get steps() {
          return steps;
        },
        stepsPerSecond: [] as number[],
        stepMilliseconds: [] as number[],
        measure: async () => {
          const estimate = options.estimate(batchSize, workers);
          steps ??= Math.round(
            Math.min(MAX_STEPS, Math.max(MIN_STEPS, BENCH_RUN_MILLISECONDS / estimate)),
          );
          runs += 1;
          const result = await run(options, {
            batchSize,
            workers,
            steps,
            estimate,
            runId: `bench-${runs}`,
          });
          cell.stepsPerSecond.push(result.stepsPerSecond);
          cell.stepMilliseconds.push(result.stepMilliseconds);
        },
      };
      return cell;
    }),
  );
}

interface Run {
  readonly batchSize: number;
  readonly workers: number;
  readonly steps: number;
  readonly estimate: number;
  readonly runId: string;
}

async function run(
  options: LoopOptions,
  wanted: Run,
): Promise<{ stepsPerSecond: number; stepMilliseconds: number }> {
  const { engine, directory, environment, signal } = options;
  const { batchSize, workers, steps, estimate, runId } = wanted;
  signal.throwIfAborted();
  const args = argumentsFor('local', {
    engine,
    batchSize,
    nprocPerNode: workers,
    steps: WARM_UP_STEPS + steps,
    runsDir: directory,
    runId,
    port: 0,
    host: '127.0.0.1',
    seed: SEED,
    model: 'mlp',
    hidden: HIDDEN,
    dropout: DROPOUT,
    logLevel: 'warn',
  });
  const child = new Child('a bench run', args, environment, 'capture');
  // A run that takes 20 times the estimate is considered hung.
  const limit = BENCH_RUN_LIMIT_MILLISECONDS + 20 * estimate * (WARM_UP_STEPS + steps);
  await endOf(child, Math.min(limit, 2 ** 31 - 1), signal);
  const folder = join(directory, runId);
  const result = await resultOf(folder);
  await rm(folder, { recursive: true, force: true });
  return result;
}

async function resultOf(
  folder: string,
): Promise<{ stepsPerSecond: number; stepMilliseconds: number }> {
  const record = join(folder, RECORD_FILE);
  const { result } = parseRunRecord(await readFile(record, 'utf8'), record);
  const { lines } = readMetrics(await readFile(join(folder, METRICS_FILE), 'utf8'));
  const milliseconds = lines.flatMap((line) =>
    line.kind === 'step' && line.step > WARM_UP_STEPS ? [line.milliseconds] : [],
  );
  const stepsPerSecond = result?.steps_per_second ?? null;
  if (stepsPerSecond === null || milliseconds.length === 0) {
    throw new ClusterError('RUN_FAILED', `${record} contains no steps_per_second`);
  }
  return { stepsPerSecond, stepMilliseconds: median(milliseconds) };
}

/**
 * Waits for exit code 0. Stops the run on Ctrl-C or at the time limit, and kills it if it does not
 * stop.
 */
async function endOf(child: Child, limitMilliseconds: number, signal: AbortSignal): Promise<void> {
  const kill = (): void => child.kill();
  process.once('exit', kill);
  let isLate = false;
  const stop = (): void => {
    child.stop('INTERRUPTED');
    void child.end();
  };
  const timer = setTimeout(() => {
    isLate = true;
    stop();
  }, limitMilliseconds);
  signal.addEventListener('abort', stop, { once: true });
  const code = await child.exited;
  signal.removeEventListener('abort', stop);
  clearTimeout(timer);
  process.off('exit', kill);
  signal.throwIfAborted();
  if (isLate)
    throw new ClusterError(
      'TIMEOUT',
      `a bench run did not end within ${Math.round(limitMilliseconds / 1000)} s`,
    );
  if (code === 0) return;
  throw new ClusterError('RUN_FAILED', `a bench run ended with exit code ${code}`, {
    fix: `its last lines: ${child.lastLines().join(' | ')}`,
  });
}
