/** The target of the label's class, and that of every other class. */
export interface Targets {
  readonly own: number;
  readonly other: number;
}

/** The targets without label smoothing. */
export const oneHot: Targets = { own: 1, other: 0 };

/**
 * Keras' label smoothing X: (1 - X) * onehot + X / classes, computed in float64 and rounded once to
 * float32. X = 0 gives exactly 1 and +0.
 */
export function targetsOf(classes: number, labelSmoothing = 0): Targets {
  const share = labelSmoothing / classes;
  return { own: Math.fround(1 - labelSmoothing + share), other: Math.fround(share) };
}
