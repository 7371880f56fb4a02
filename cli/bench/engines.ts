import { ClusterError } from '../../shared/errors.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import type { Cell } from './cell.ts';
import { MeasuredProcess } from './measured-process.ts';
import { shardCounts } from './workload.ts';

export interface EngineCell extends Cell {
  readonly engine: EngineKind;
  readonly batchSize: number;
  /** Shards in one call. */
  readonly shards: number;
  /** Milliseconds per call, one value per repetition; empty if the engine does not run here. */
  readonly milliseconds: number[];
}

/** An engine to measure, with its environment and batch sizes. */
export interface MeasuredEngine {
  readonly engine: EngineKind;
  readonly environment: NodeJS.ProcessEnv;
  readonly batchSizes: readonly number[];
  /** Whether a failure fails the bench; otherwise the report lists the engine as skipped. */
  readonly isRequired: boolean;
}

/**
 * Measures engines alone, each in a process of its own, since their libraries read the environment
 * when the process starts.
 */
export class EngineBenches {
  readonly cells: readonly EngineCell[];
  /** Each engine's library, such as "TensorFlow 2.21.0 (tfjs-node-gpu 4.22.0)". */
  readonly libraries = new Map<EngineKind, string>();
  /** Engines that do not run here, with the reason. */
  readonly skipped = new Map<EngineKind, string>();
  readonly #processes = new Map<EngineKind, MeasuredProcess>();
  readonly #milliseconds: number;
  readonly #signal: AbortSignal;

  constructor(engines: readonly MeasuredEngine[], milliseconds: number, signal: AbortSignal) {
    this.#milliseconds = milliseconds;
    this.#signal = signal;
    this.cells = engines.flatMap((measured) =>
      measured.batchSizes.flatMap((batchSize) =>
        shardCounts(batchSize).map((shards) => this.#cell(measured, batchSize, shards)),
      ),
    );
  }

  async end(): Promise<void> {
    await Promise.all([...this.#processes.values()].map((each) => each.end()));
  }

  #cell(measured: MeasuredEngine, batchSize: number, shards: number): EngineCell {
    const { engine } = measured;
    const milliseconds: number[] = [];
    return {
      name: `engine ${engine}, batch ${batchSize}, ${shards} shards a call`,
      engine,
      batchSize,
      shards,
      milliseconds,
      measure: async () => {
        if (this.skipped.has(engine)) return;
        try {
          const request = { batchSize, shards, milliseconds: this.#milliseconds };
          const { microseconds, library } = await this.#process(measured).measure(
            request,
            this.#signal,
          );
          this.libraries.set(engine, library);
          milliseconds.push(microseconds / 1000);
        } catch (error) {
          if (measured.isRequired || this.#signal.aborted || !(error instanceof ClusterError))
            throw error;
          this.skipped.set(engine, error.message);
        }
      },
    };
  }

  #process({ engine, environment }: MeasuredEngine): MeasuredProcess {
    const known = this.#processes.get(engine);
    if (known !== undefined) return known;
    const started = new MeasuredProcess(
      `the ${engine} engine`,
      { kind: 'engine', engine },
      environment,
    );
    this.#processes.set(engine, started);
    return started;
  }
}
