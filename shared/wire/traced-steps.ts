/** The steps that a coordinator traces, the first and the last included. */
export interface TracedSteps {
  readonly from: number;
  readonly to: number;
}

export function isTraced(steps: TracedSteps | undefined, step: number): boolean {
  return steps !== undefined && step >= steps.from && step <= steps.to;
}
