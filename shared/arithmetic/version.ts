/**
 * The version of the arithmetic. It increases when the same configuration would give different
 * bytes.
 */
export const ARITHMETIC = 1;
