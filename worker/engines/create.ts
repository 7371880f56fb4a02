import type { Kernels } from '../../shared/kernels/kernels.ts';
import { unreachable } from '../../shared/errors.ts';
import { MAX_GRAPH_SHARDS } from '../../shared/limits.ts';
import { parameterCount } from '../../shared/arithmetic/model-shape.ts';
import type { ModelShape } from '../../shared/arithmetic/model-shape.ts';
import type { EngineKind } from '../../shared/engine-identity.ts';
import { refuseDevice } from './device.ts';
import type { Engine, EngineOptions, EngineShape } from './engine.ts';
import { createReferenceEngine } from './reference.ts';
import { summedByKernel, summedByKernelBytes } from './summed-by-kernel.ts';
import type { SummedSizes } from './summed-by-kernel.ts';

/**
 * Creates an engine whose graphs are built and warmed up for all subtree sizes in `shape`. Throws
 * ENGINE if the engine cannot run on this device. Each library is imported only for its own engine,
 * because a process must not load both: they share a registry of backends.
 */
export async function createEngine(
  kind: EngineKind,
  shape: EngineShape,
  kernels: Kernels,
  options: EngineOptions,
): Promise<Engine> {
  switch (kind) {
    case 'reference':
      refuseDevice(kind, options.device);
      return summedByKernel(createReferenceEngine(shape), kernels, sizesOf(shape, 1));
    case 'wasm': {
      refuseDevice(kind, options.device);
      const { createWasmEngine } = await import('./wasm.ts');
      return summedByKernel(await createWasmEngine(shape), kernels, sizesOf(shape, 1));
    }
    case 'tensorflow': {
      const { createTensorFlowEngine } = await import('./tensorflow.ts');
      const shardCounts = shape.shardCounts.filter((count) => count <= MAX_GRAPH_SHARDS);
      const engine = createTensorFlowEngine({ ...shape, shardCounts }, options);
      return summedByKernel(engine, kernels, sizesOf(shape, MAX_GRAPH_SHARDS));
    }
    default:
      return unreachable(kind);
  }
}

/**
 * A variant of the engine that computes single shards, which the kernel adds up; undefined if the
 * engine already does that. It is needed if TensorFlow's sums differ from the kernel's (a GPU may
 * keep subnormals).
 */
export function summedByShard(
  engine: Engine,
  model: ModelShape,
  virtualShards: number,
  kernels: Kernels,
): Engine | undefined {
  if (engine.description.kind !== 'tensorflow') return undefined;
  const floats = parameterCount(model) + 1;
  return summedByKernel(engine, kernels, { floats, maxShards: virtualShards, unitShards: 1 });
}

/** Kernel memory that createEngine and summedByShard use together, in bytes. */
export function engineBytes(shape: EngineShape): number {
  return (
    summedByKernelBytes(sizesOf(shape, 1)) + summedByKernelBytes(sizesOf(shape, MAX_GRAPH_SHARDS))
  );
}

function sizesOf(shape: EngineShape, unitShards: number): SummedSizes {
  return {
    floats: parameterCount(shape.model) + 1,
    maxShards: Math.max(...shape.shardCounts),
    unitShards,
  };
}
