import type { KernelName } from './kernel-timing.ts';

/**
 * Where a step's time goes. A run does not record it, since clocks in the loop would be a part of
 * what they measure; so the pieces are measured alone and laid against the step's milliseconds from
 * metrics.jsonl:
 *
 *     gradient       the call (or calls) of the worker that has most to compute
 *     worker checks  checksum of the weights that came, finite check with checksum of each gradient that goes
 *     wire           weights and gradients of all workers there and back, nothing computed
 *     coordinator    finite check with checksum of each gradient, the sums, Adam with checksum
 *     rest           step - all of these: waiting for each other, processes that share cores, metrics lines
 *
 * Batches and masks are built while the worker waits for weights, so they are no phase of their
 * own.
 */
export const phaseNames = ['gradient', 'worker checks', 'wire', 'coordinator', 'rest'] as const;
export type PhaseName = (typeof phaseNames)[number];

export interface Phase {
  readonly phase: PhaseName;
  readonly milliseconds: number;
  /** Of the step. Below 0 for `rest` when the pieces overlap, or were slower alone. */
  readonly share: number;
}

export interface PhaseInput {
  /** The median step. */
  readonly stepMilliseconds: number;
  /** For each worker that computes, the shards of each of its subtrees. */
  readonly shards: readonly (readonly number[])[];
  /** One gradient call of so many shards. */
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
  const pieces = {
    gradient: slowest.gradient,
    'worker checks': kernel('checksum', 1) + kernel('check', slowest.calls),
    wire: wireMilliseconds,
    coordinator: kernel('check', parts) + kernel('add', parts - 1) + kernel('adam', 1),
  };
  const known = Object.values(pieces).reduce((sum, piece) => sum + piece, 0);
  const all: Record<PhaseName, number> = { ...pieces, rest: stepMilliseconds - known };
  return phaseNames.map((phase) => ({
    phase,
    milliseconds: all[phase],
    share: all[phase] / stepMilliseconds,
  }));
}
