import type { KernelName } from './kernel-timing.ts';

/**
 * The phases of a step. A run does not time them, since clocks in the loop would change what they
 * measure; each phase is measured alone and compared with the step's milliseconds in metrics.jsonl:
 *
 *     gradient       the calls by the worker with the most shards
 *     worker checks  checksum of the weights, finite check with checksum of each gradient
 *     wire           weights to all workers and gradients back, without computation
 *     coordinator    finite check with checksum of each gradient, the sums, Adam with checksum
 *     rest           the step minus all of these: waiting, shared cores, metrics lines
 *
 * Workers build batches and masks while they wait for weights, so that work is not a phase.
 */
export const phaseNames = ['gradient', 'worker checks', 'wire', 'coordinator', 'rest'] as const;
export type PhaseName = (typeof phaseNames)[number];

export interface Phase {
  readonly phase: PhaseName;
  readonly milliseconds: number;
  /**
   * Fraction of the step's duration. Below 0 for `rest` if phases overlap or were slower when
   * measured alone.
   */
  readonly share: number;
}

export interface PhaseInput {
  /** Median duration of a step. */
  readonly stepMilliseconds: number;
  /** For each worker that computes, the number of shards in each of its subtrees. */
  readonly shards: readonly (readonly number[])[];
  /** Milliseconds per gradient call on `shards` shards. */
  readonly gradientMilliseconds: (shards: number) => number;
  readonly kernelMicroseconds: (kernel: KernelName) => number;
  readonly wireMilliseconds: number;
}

export function phasesOf(input: PhaseInput): Phase[] {
  const { stepMilliseconds, shards, gradientMilliseconds, kernelMicroseconds, wireMilliseconds } =
    input;
  const parts = shards.reduce((sum, sizes) => sum + sizes.length, 0);
  const kernel = (name: KernelName, calls: number) => (calls * kernelMicroseconds(name)) / 1000;
  const perWorker = shards.map((sizes) => ({
    gradient: sizes.reduce((sum, size) => sum + gradientMilliseconds(size), 0),
    calls: sizes.length,
  }));
  const slowest = perWorker.reduce((a, b) => (b.gradient > a.gradient ? b : a), {
    gradient: 0,
    calls: 0,
  });
  const phases = {
    gradient: slowest.gradient,
    'worker checks': kernel('checksum', 1) + kernel('check', slowest.calls),
    wire: wireMilliseconds,
    coordinator: kernel('check', parts) + kernel('add', parts - 1) + kernel('adam', 1),
  };
  const known = Object.values(phases).reduce((sum, phase) => sum + phase, 0);
  const all: Record<PhaseName, number> = { ...phases, rest: stepMilliseconds - known };
  return phaseNames.map((phase) => ({
    phase,
    milliseconds: all[phase],
    share: all[phase] / stepMilliseconds,
  }));
}
