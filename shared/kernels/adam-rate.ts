/**
 * Adam's learning rate at step t (counted from 1), including the bias corrections: learningRate *
 * sqrt(1 - beta2^t) / (1 - beta1^t), evaluated in float64 from left to right.
 */
export function adamRate(learningRate: number, beta1: number, beta2: number, step: number): number {
  return (learningRate * Math.sqrt(1 - power(beta2, step))) / (1 - power(beta1, step));
}

/**
 * base^exponent for integer exponents: for each bit of the exponent, the lowest first, the result
 * is multiplied by the base if the bit is 1, then the base is squared. Math.pow may differ between
 * versions of V8; products do not.
 */
function power(base: number, exponent: number): number {
  let result = 1;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= base;
    base *= base;
  }
  return result;
}
