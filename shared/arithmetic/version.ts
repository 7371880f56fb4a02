/**
 * The version of the arithmetic. Incremented whenever a change makes the same configuration produce
 * different bytes.
 */
export const ARITHMETIC = 2;
