import type { EngineKind } from '../../shared/engine-identity.ts';
import { createKernels, type Kernels } from '../../shared/kernels/kernels.ts';
import { MAX_KEPT_ENGINE_BYTES, MAX_LOADED_ENGINES } from '../../shared/limits/sweep.ts';
import { createEngine, engineBytes } from './create.ts';
import type { Engine, EngineOptions, EngineShape } from './engine.ts';

export type EngineChoice = EngineOptions & { readonly kind: EngineKind };

/** An engine, and the memory that it uses besides its arguments. */
export interface LoadedEngine {
  /** The engine, or its variant that the probe has chosen. */
  engine: Engine;
  /** Why its own sums cannot be used, once it has been probed; undefined if they can. */
  disagreement: string | undefined;
  readonly kernels: Kernels;
  readonly bytes: number;
}

/**
 * The engines of a process, by shape: a run with the model and the batch size of an earlier one
 * uses its engine. Engines that were used last are kept, within limits.
 */
export class LoadedEngines {
  /** By shape and options as JSON, the one used last at the end. */
  readonly #loaded = new Map<string, LoadedEngine>();

  /** The engine for this shape and choice. Throws ENGINE if it cannot be created. */
  async load(shape: EngineShape, choice: EngineChoice): Promise<LoadedEngine> {
    const { kind, threads, device } = choice;
    const identity = JSON.stringify([shape, kind, threads, device]);
    const loaded = this.#loaded.get(identity) ?? (await this.#create(shape, choice));
    this.#loaded.delete(identity);
    this.#loaded.set(identity, loaded);
    return loaded;
  }

  async #create(shape: EngineShape, choice: EngineChoice): Promise<LoadedEngine> {
    const bytes = engineBytes(shape);
    // Makes room first, so that both are never in memory together.
    this.#drop(MAX_LOADED_ENGINES - 1, MAX_KEPT_ENGINE_BYTES - bytes);
    const kernels = createKernels(bytes);
    const engine = await createEngine(choice.kind, shape, kernels, choice);
    return { engine, disagreement: undefined, kernels, bytes };
  }

  #drop(count: number, bytes: number): void {
    let kept = [...this.#loaded.values()].reduce((sum, each) => sum + each.bytes, 0);
    for (const [identity, loaded] of this.#loaded) {
      if (this.#loaded.size <= count && kept <= bytes) return;
      kept -= loaded.bytes;
      loaded.engine.dispose();
      this.#loaded.delete(identity);
    }
  }
}
