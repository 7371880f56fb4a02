import { learningRateOf, type RateRecipe } from '../arithmetic/learning-rate.ts';
import { namedTensors, type ModelShape, type NamedTensor } from '../arithmetic/model-shape.ts';
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

/**
 * Creates the update of a recipe. Adam without clipping and decay is a single pass over memory, and
 * so is SGD; decay and clipping have passes of their own.
 */
export function createUpdate(kernels: Kernels, recipe: UpdateRecipe): Update {
  const { model, clipNorm, weightDecay } = recipe;
  const tensors = namedTensors(model);
  const count = tensors.reduce((sum, { length }) => sum + length, 0);
  return ({ step, from, to, gradient, state }) => {
    const rate = learningRateOf(recipe, step);
    const norm = clipNorm === undefined ? undefined : clip(kernels, gradient, count, clipNorm);
    if (weightDecay > 0) decay(kernels, tensors, from, to, rate * weightDecay);
    const start = weightDecay > 0 ? to : from;
    const checksum = optimize(kernels, recipe.optimizer, rate, {
      step,
      from: start,
      to,
      gradient,
      count,
      state,
    });
    return { checksum, norm };
  };
}

/** Whether weight decay applies to a tensor: to kernels, but not to biases. */
export function isDecayed({ name }: Pick<NamedTensor, 'name'>): boolean {
  return name.endsWith('.kernel');
}

/** Writes the decayed kernels and the unchanged biases to `to`. */
function decay(
  kernels: Kernels,
  tensors: readonly NamedTensor[],
  from: number,
  to: number,
  factor: number,
): void {
  for (const tensor of tensors) {
    const { offset, length } = tensor;
    const [source, target] = [from + FLOAT_BYTES * offset, to + FLOAT_BYTES * offset];
    if (isDecayed(tensor)) kernels.decay(source, target, length, factor);
    else kernels.floats(target, length).set(kernels.floats(source, length));
  }
}

/** Scales the gradient if its norm is above the limit. Returns its norm before. */
function clip(kernels: Kernels, gradient: number, count: number, limit: number): number {
  const norm = Math.sqrt(kernels.sumOfSquares(gradient, count));
  if (norm > limit) kernels.scale(gradient, count, limit / norm);
  return norm;
}

/** Written without rest and spread properties, which made a step of Adam 14 us slower. */
function optimize(
  kernels: Kernels,
  optimizer: Optimizer,
  rate: number,
  { step, from, to, gradient, count, state }: UpdateArguments & { readonly count: number },
): bigint {
  const [first = 0, second = 0] = state;
  if (optimizer.kind === 'sgd') {
    const { momentum, nesterov } = optimizer;
    if (momentum === 0) return kernels.sgd({ from, to, gradient, count, rate });
    const velocity = first;
    return kernels.sgdMomentum({
      from,
      to,
      gradient,
      count,
      rate,
      velocity,
      momentum,
      nesterov,
    });
  }
  const { beta1, beta2, epsilon } = optimizer;
  return kernels.adam({
    from,
    to,
    gradient,
    count,
    firstMoment: first,
    secondMoment: second,
    beta1,
    beta2,
    epsilon,
    rate: adamRate(rate, beta1, beta2, step),
  });
}
