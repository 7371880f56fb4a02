/**
 * The version of the arithmetic. Every change that makes the same configuration produce different
 * bytes increments it.
 */
export const ARITHMETIC = 1;
