import { learningRateOf } from '../arithmetic/learning-rate.ts';
import { namedTensors } from '../arithmetic/model-shape.ts';
import { adamRate } from './adam-rate.ts';
import { adam, decay, scale, sgd, sgdMomentum, sumOfSquares } from './reference-kernels.ts';
import { isDecayed, type UpdateRecipe } from './update.ts';

/**
 * The update of a step with the kernels in TypeScript, in place: the weights, the gradient (which
 * is clipped) and the optimizer's vectors, in the order of `stateNames`. The results match those of
 * update.ts bit for bit.
 */
export function referenceUpdate(
  recipe: UpdateRecipe,
  step: number,
  weights: Float32Array,
  gradient: Float32Array,
  state: readonly Float32Array[],
): void {
  const { model, optimizer, clipNorm, weightDecay } = recipe;
  const rate = learningRateOf(recipe, step);
  if (clipNorm !== undefined) {
    const norm = Math.sqrt(sumOfSquares(gradient));
    if (norm > clipNorm) scale(gradient, clipNorm / norm);
  }
  if (weightDecay > 0)
    for (const { offset, length } of namedTensors(model).filter(isDecayed))
      decay(weights.subarray(offset, offset + length), rate * weightDecay);
  const [first = new Float32Array(0), second = new Float32Array(0)] = state;
  if (optimizer.kind === 'sgd') {
    const { momentum, nesterov } = optimizer;
    if (momentum === 0) sgd({ weights, gradient, rate });
    else sgdMomentum({ weights, gradient, rate, velocity: first, momentum, nesterov });
    return;
  }
  const { beta1, beta2, epsilon } = optimizer;
  const corrected = adamRate(rate, beta1, beta2, step);
  const moments = { firstMoment: first, secondMoment: second };
  adam({ weights, gradient, ...moments, beta1, beta2, epsilon, rate: corrected });
}
