import { power } from '../arithmetic/functions.ts';

/**
 * Adam's rate at step t (counted from 1), including the bias corrections: learningRate * sqrt(1 -
 * beta2^t) / (1 - beta1^t), evaluated in float64 from left to right.
 */
export function adamRate(learningRate: number, beta1: number, beta2: number, step: number): number {
  return (learningRate * Math.sqrt(1 - power(beta2, step))) / (1 - power(beta1, step));
}
