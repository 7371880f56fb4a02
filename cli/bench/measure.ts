import { mkdtemp, rm } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { version } from '../package.ts';
import { BENCH_PIECE_MILLISECONDS, BENCH_WIRE_MILLISECONDS } from './bench-limits.ts';
import { defaultVirtualShards } from '../../shared/arithmetic/virtual-shards.ts';
import { inputCount, parameterCount } from '../../shared/arithmetic/model-shape.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { exchangeCell } from './exchange-bench.ts';
import type { BenchCertificate, ExchangeBench, ExchangeCell } from './exchange-bench.ts';
import { makeAuthority, makeCertificate } from '../secrets/certificate-authority.ts';
import { interleave, type Cell } from './cell.ts';
import { coordinatorCells, type CoordinatorCell } from './coordinator-cost.ts';
import { EchoBench } from './echo.ts';
import { EngineBenches, type MeasuredEngine } from './engines.ts';
import { kernelCells, type KernelCell, type KernelName } from './kernel-timing.ts';
import { loopCells, type LoopCell } from './loop.ts';
import { observationCell, type ObservationCell } from './observation-cost.ts';
import { phasesOf } from './step-phases.ts';
import { BENCH_FORMAT, type BenchReport } from './bench-report.ts';
import { median } from '../../shared/median.ts';
import { spreadOf } from './statistics.ts';
import { WireBench, type Way } from './wire.ts';
import { HIDDEN, MODEL, spreadShards } from './workload.ts';
import { processorName } from '../../worker/engines/engine.ts';
import { loadMemoryAddon } from '../../worker/native/addons/memory.ts';

export interface MeasureOptions {
  readonly batchSizes: readonly number[];
  readonly workers: readonly number[];
  readonly pairs: number;
  /** Measured steps in each run of the full loop; if undefined, one or two seconds' worth. */
  readonly steps: number | undefined;
  /** The engine for the full loop; one of `engines`. */
  readonly engine: EngineKind;
  readonly engines: readonly MeasuredEngine[];
  /**
   * The environment for processes without an engine and for `local`, which adds its engine's
   * variables itself.
   */
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** Called before each measurement, when `done` of `total` have finished. */
  readonly progress: (cell: Cell, repetition: number, done: number, total: number) => void;
}

interface Sections {
  readonly kernels: readonly KernelCell[];
  readonly observation: ObservationCell;
  readonly coordinator: readonly CoordinatorCell[];
  readonly engines: EngineBenches;
  readonly wire: readonly ExchangeCell[];
  readonly loop: readonly LoopCell[];
}

/**
 * Runs all measurements, interleaved. Leaves no processes or files behind. Rejects with the
 * signal's reason on Ctrl-C.
 */
export async function measure(options: MeasureOptions): Promise<BenchReport> {
  const { pairs, signal, environment, progress } = options;
  const directory = await mkdtemp(join(tmpdir(), 'mnist-dist-bench-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.once('exit', remove);
  const engines = new EngineBenches(options.engines, BENCH_PIECE_MILLISECONDS, signal);
  const exchangeBenches = await openExchangeBenches(environment, signal);
  const wire = exchangeBenches.flatMap((bench) =>
    wireWorkers(options).map((workers) => exchangeCell(bench, workers, BENCH_WIRE_MILLISECONDS)),
  );
  const kernels = kernelCells(options.batchSizes, BENCH_PIECE_MILLISECONDS);
  const observation = observationCell(BENCH_PIECE_MILLISECONDS);
  const coordinator = coordinatorCells(BENCH_PIECE_MILLISECONDS);
  const pieces = { kernels, engines, wire };
  const estimate = (batchSize: number, workers: number) =>
    estimateOf(options, pieces, batchSize, workers);
  const loop = loopCells({ ...options, directory, estimate });
  // The loop comes last: its first repetition derives its number of steps from the other cells.
  const cells = [...kernels, observation, ...coordinator, ...engines.cells, ...wire, ...loop];
  try {
    await interleave(cells, pairs, signal, (cell, repetition, done) =>
      progress(cell, repetition, done, cells.length * pairs),
    );
    return reportOf(options, { ...pieces, observation, coordinator, loop });
  } finally {
    await Promise.all([engines.end(), ...exchangeBenches.map((bench) => bench.end())]);
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    process.off('exit', remove);
  }
}

/**
 * Benchmarks for the wire through shared memory, where this machine can map it, and over sockets
 * without and with TLS, and for as many bytes over Node's own TLS sockets.
 */
async function openExchangeBenches(
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<readonly ExchangeBench[]> {
  const certificate = await makeBenchCertificate();
  const addon = loadMemoryAddon();
  const benchOf = (way: Way) => new WireBench(way, environment, signal);
  const plain = benchOf({ transport: 'tcp' });
  const exchangeBenches = [
    ...(addon === undefined ? [] : [benchOf({ transport: 'shared memory', addon })]),
    plain,
    benchOf({ transport: 'tls', certificate }),
    new EchoBench(plain.frameBytes, certificate, environment),
  ];
  signal.addEventListener(
    'abort',
    () => exchangeBenches.forEach((each) => each.fail(signal.reason)),
    {
      once: true,
    },
  );
  return exchangeBenches;
}

/** A certificate for loopback, like those that `mnist-dist certs` creates. */
async function makeBenchCertificate(): Promise<BenchCertificate> {
  const now = new Date();
  const authority = await makeAuthority('mnist-dist bench', 1, now);
  const { certificate, key } = await makeCertificate(authority, ['127.0.0.1'], 1, now);
  return { cert: certificate + authority.certificate, key, ca: authority.certificate };
}

/** The worker counts in the grid, and for each batch size how many of those workers compute. */
function wireWorkers({ batchSizes, workers }: MeasureOptions): number[] {
  const computing = batchSizes.flatMap((batchSize) =>
    workers.map((count) => Math.min(count, defaultVirtualShards(batchSize))),
  );
  return [...new Set([...workers, ...computing])].toSorted((a, b) => a - b);
}

type Pieces = Pick<Sections, 'kernels' | 'engines' | 'wire'>;

function estimateOf(
  options: MeasureOptions,
  pieces: Pieces,
  batchSize: number,
  workers: number,
): number {
  const { gradientMilliseconds, kernelMicroseconds, wireMilliseconds, shards } = inputOf(
    options,
    pieces,
    batchSize,
    workers,
  );
  const gradient = Math.max(
    ...shards.map((sizes) => sizes.reduce((sum, size) => sum + gradientMilliseconds(size), 0)),
  );
  const perCore = Math.max(1, shards.length / availableParallelism());
  return gradient * perCore + wireMilliseconds + kernelMicroseconds('adam') / 1000;
}

/** The medians so far, as input for phasesOf. */
function inputOf(
  options: MeasureOptions,
  { kernels, engines, wire }: Pieces,
  batchSize: number,
  workers: number,
) {
  const shards = spreadShards(batchSize, workers);
  // The runs of the full loop exchange tensors in the first of these ways that this machine has.
  const cells = wire.filter((cell) => cell.workers === shards.length);
  const wireCell =
    cells.find(({ transport }) => transport === 'shared memory') ??
    cells.find(({ transport }) => transport === 'tcp');
  return {
    shards,
    gradientMilliseconds: (count: number) =>
      median(
        engines.cells.find(
          (cell) =>
            cell.engine === options.engine && cell.batchSize === batchSize && cell.shards === count,
        )?.milliseconds ?? [],
      ),
    kernelMicroseconds: (kernel: KernelName) =>
      median(kernels.find((cell) => cell.kernel === kernel)?.microseconds ?? []),
    wireMilliseconds: 1000 / median(wireCell?.stepsPerSecond ?? []),
  };
}

function reportOf(options: MeasureOptions, sections: Sections): BenchReport {
  const { kernels, observation, coordinator, engines, wire, loop } = sections;
  return {
    format: BENCH_FORMAT,
    version,
    engine: options.engine,
    pairs: options.pairs,
    machine: {
      node: process.versions.node,
      platform: `${process.platform} ${process.arch}`,
      processor: processorName(),
      cores: availableParallelism(),
    },
    model: {
      inputs: inputCount(MODEL),
      hidden: [...HIDDEN],
      classes: MODEL.classes,
      parameters: parameterCount(MODEL),
    },
    kernels: kernels.map(({ kernel, batchSize, microseconds }) => ({
      kernel,
      ...(batchSize === undefined ? {} : { batch_size: batchSize }),
      microseconds: spreadOf(microseconds),
    })),
    observation: {
      workers: observation.workers,
      microseconds: spreadOf(observation.microseconds),
    },
    coordinator: coordinator.map(({ workers, microseconds }) => ({
      workers,
      microseconds: spreadOf(microseconds),
    })),
    engines: engines.cells.flatMap(({ engine, batchSize, shards, milliseconds }) => {
      if (milliseconds.length === 0) return [];
      const sizes = {
        batch_size: batchSize,
        virtual_shards: defaultVirtualShards(batchSize),
        shards,
      };
      const library = engines.libraries.get(engine) ?? '';
      return [{ engine, library, ...sizes, milliseconds: spreadOf(milliseconds) }];
    }),
    skipped: [...engines.skipped].map(([engine, reason]) => ({ engine, reason })),
    wire: wire.map(({ transport, workers, stepsPerSecond }) => ({
      transport,
      workers,
      steps_per_second: spreadOf(stepsPerSecond),
    })),
    loop: loop.map((cell) => loopRow(options, sections, cell)),
  };
}

function loopRow(
  options: MeasureOptions,
  pieces: Pieces,
  cell: LoopCell,
): BenchReport['loop'][number] {
  const { batchSize, virtualShards, workers, steps = 0, stepsPerSecond, stepMilliseconds } = cell;
  const step = spreadOf(stepMilliseconds);
  return {
    batch_size: batchSize,
    virtual_shards: virtualShards,
    workers,
    steps,
    steps_per_second: spreadOf(stepsPerSecond),
    step_milliseconds: step,
    phases: phasesOf({
      stepMilliseconds: step.median,
      ...inputOf(options, pieces, batchSize, workers),
    }),
  };
}
