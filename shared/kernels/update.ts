import { learningRateOf, type RateRecipe } from '../arithmetic/learning-rate.ts';
import { namedTensors, type ModelShape } from '../arithmetic/model-shape.ts';
import type { Optimizer } from '../arithmetic/optimizer.ts';
import { adamRate } from './adam-rate.ts';
import type { Kernels } from './kernels.ts';

const FLOAT_BYTES = 4;

/** What an update of the weights depends on, besides the gradient. */
export interface UpdateRecipe extends RateRecipe {
  readonly model: ModelShape;
  readonly optimizer: Optimizer;
  /** Decoupled weight decay of the kernels; 0 for none. */
  readonly weightDecay: number;
  /** Maximum norm of the gradient; undefined for no limit. */
  readonly clipNorm?: number | undefined;
}

/** Addresses of float arrays with one value per parameter. */
export interface UpdateArguments {
  readonly step: number;
  /** Weights before the step, and after it. The two do not overlap. */
  readonly from: number;
  readonly to: number;
  /** The gradient, which is clipped in place. */
  readonly gradient: number;
  /** The optimizer's vectors in the order of `stateNames`, updated in place. */
  readonly state: readonly number[];
}

export interface Updated {
  /** XXH64 of the new weights. */
  readonly checksum: bigint;
  /** The gradient's Euclidean norm before clipping; undefined without clipping. */
  readonly norm: number | undefined;
}

/** One step: clips the gradient, decays the weights, and updates them, in this order. */
export type Update = (step: UpdateArguments) => Updated;

/** Consecutive parameters. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * Creates the update of a recipe. Adam without clipping and decay is a single pass over memory, and
 * so is SGD; decay and clipping have passes of their own.
 */
export function createUpdate(kernels: Kernels, recipe: UpdateRecipe): Update {
  const { model, clipNorm, weightDecay } = recipe;
  const tensors = namedTensors(model);
  const count = tensors.reduce((sum, { length }) => sum + length, 0);
  const ranges = kernelRanges(model);
  return ({ step, from, to, gradient, state }) => {
    const rate = learningRateOf(recipe, step);
    const norm = clipNorm === undefined ? undefined : clip(kernels, gradient, count, clipNorm);
    if (weightDecay > 0) {
      kernels.bytes(to, FLOAT_BYTES * count).set(kernels.bytes(from, FLOAT_BYTES * count));
      for (const { offset, length } of ranges)
        kernels.decay(
          from + FLOAT_BYTES * offset,
          to + FLOAT_BYTES * offset,
          length,
          rate * weightDecay,
        );
    }
    const moved = { from: weightDecay > 0 ? to : from, to, gradient, count };
    return { checksum: optimize(kernels, recipe.optimizer, { ...moved, state, rate, step }), norm };
  };
}

/** The parameters that weight decay applies to: the kernels, not the biases. */
export function kernelRanges(model: ModelShape): readonly Range[] {
  return namedTensors(model).filter(({ name }) => name.endsWith('.kernel'));
}

/** Scales the gradient if its norm is above the limit. Returns its norm before. */
function clip(kernels: Kernels, gradient: number, count: number, limit: number): number {
  const norm = Math.sqrt(kernels.sumOfSquares(gradient, count));
  if (norm > limit) kernels.scale(gradient, count, limit / norm);
  return norm;
}

interface OptimizeArguments extends UpdateArguments {
  readonly count: number;
  readonly rate: number;
}

function optimize(kernels: Kernels, optimizer: Optimizer, arguments_: OptimizeArguments): bigint {
  const { state, rate, step, ...addresses } = arguments_;
  const [first = 0, second = 0] = state;
  if (optimizer.kind === 'sgd') {
    const { momentum, nesterov } = optimizer;
    if (momentum === 0) return kernels.sgd({ ...addresses, rate });
    return kernels.sgdMomentum({ ...addresses, rate, velocity: first, momentum, nesterov });
  }
  const { beta1, beta2, epsilon } = optimizer;
  return kernels.adam({
    ...addresses,
    firstMoment: first,
    secondMoment: second,
    beta1,
    beta2,
    epsilon,
    rate: adamRate(rate, beta1, beta2, step),
  });
}
