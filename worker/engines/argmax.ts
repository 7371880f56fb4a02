/**
 * Which of the `count` values from `start` on is the largest, counted from `start`; ties go to the
 * lowest.
 */
export function argmax(values: ArrayLike<number>, start: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++)
    if ((values[start + i] ?? 0) > (values[start + best] ?? 0)) best = i;
  return best;
}

/**
 * Rows of [rows, classes] logits whose largest is at their label; a label of -1 counts for nothing.
 */
export function countCorrect(
  logits: ArrayLike<number>,
  labels: Int32Array,
  classes: number,
): number {
  let correct = 0;
  for (let row = 0; row < labels.length; row++) {
    if (argmax(logits, row * classes, classes) === labels[row]) correct++;
  }
  return correct;
}
