/** Orders steps and evaluations by time: the evaluation after a step follows it. */
export function taskOrder(task: 'step' | 'evaluation', step: number): number {
  return task === 'step' ? 2 * step : 2 * step + 1;
}
