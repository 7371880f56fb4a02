/** A budget of units, which refills over time. */
export interface Budget {
  readonly left: number;
  /** When `left` was computed, in milliseconds. */
  readonly at: number;
}

/** The limits of a budget. */
export interface BudgetLimits {
  readonly max: number;
  readonly perSecond: number;
}

export function fullBudget({ max }: BudgetLimits, now: number): Budget {
  return { left: max, at: now };
}

/** The budget after spending one unit; undefined if not even one is left. */
export function spendOne(
  { left, at }: Budget,
  { max, perSecond }: BudgetLimits,
  now: number,
): Budget | undefined {
  const remaining = Math.min(left + ((now - at) * perSecond) / 1000, max) - 1;
  return remaining < 0 ? undefined : { left: remaining, at: now };
}
