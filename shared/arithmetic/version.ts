/**
 * The version of the arithmetic. It increases with every change that makes the same configuration
 * produce different bytes.
 */
export const ARITHMETIC = 1;
