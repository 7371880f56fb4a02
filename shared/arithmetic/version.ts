/** Raised whenever the same configuration would give other bytes. */
export const ARITHMETIC = 1;
