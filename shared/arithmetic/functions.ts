// Functions of float64 numbers that use only +, -, *, / and Math.sqrt, which IEEE 754 defines to
// the bit, and Math.PI, the float64 next to pi. Math.pow, Math.exp and Math.cos may differ between
// versions of V8.

/**
 * base^exponent for integer exponents: for each bit of the exponent, the lowest first, the result
 * is multiplied by the base if the bit is 1, then the base is squared.
 */
export function power(base: number, exponent: number): number {
  let result = 1;
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= base;
    base *= base;
  }
  return result;
}

/**
 * base^x for 0 <= x < 1: for each binary digit of x, the one for 1/2 first, the base is replaced by
 * its square root, and the result is multiplied by it if the digit is 1. Doubling x and subtracting
 * 1 from it are exact.
 */
export function fractionalPower(base: number, x: number): number {
  let result = 1;
  for (let rest = x; rest > 0;) {
    base = Math.sqrt(base);
    rest *= 2;
    if (rest < 1) continue;
    result *= base;
    rest -= 1;
  }
  return result;
}

/** The sine's Taylor series ends with x^17 / 17!; up to pi/4 the rest is below 2^-60. */
const SINE_TERMS = 8;

/** sin(x) for 0 <= x <= pi/4: x(1 - x²/(2·3)(1 - x²/(4·5)(... (1 - x²/(16·17)) ...))). */
function sine(x: number): number {
  const square = x * x;
  let factor = 1;
  for (let n = SINE_TERMS; n >= 1; n--) factor = 1 - (square / (2 * n * (2 * n + 1))) * factor;
  return x * factor;
}

/**
 * (1 + cos(pi k/n)) / 2 for integers 0 <= k <= n, which falls from 1 to 0: in the first half
 * 1 - sin²(pi k/(2n)), in the second half sin²(pi (n - k)/(2n)).
 */
export function cosineFall(k: number, n: number): number {
  if (2 * k <= n) {
    const s = sine((Math.PI * k) / (2 * n));
    return 1 - s * s;
  }
  const s = sine((Math.PI * (n - k)) / (2 * n));
  return s * s;
}
