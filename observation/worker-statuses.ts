import type { Inspection, WorkerInspection } from '../coordinator/inspection.ts';
import type { WorkerStatus } from './api.ts';
import type { WorkerStateName } from './catalogue.ts';
import type { WorkerLabels } from './labels.ts';
import type { Shares } from './shares.ts';

/** Of several workers under one label, the busiest is shown. */
const ranks: readonly WorkerStateName[] = [
  ...(['training', 'late', 'set_aside', 'idle', 'preparing', 'connected', 'lost'] as const),
];

/**
 * The workers by label in the order in which they came: those that are there, and those of `seen` that are gone. A connection
 * that has not said hello has no name yet and is not among them.
 */
export function workerStatuses(
  { workers, delivered }: Inspection,
  seen: Iterable<string>,
  labels: WorkerLabels,
  shares: Shares,
): WorkerStatus[] {
  const samples = new Map<string, number>();
  for (const [name, count] of delivered) {
    const label = labels.of(name);
    samples.set(label, (samples.get(label) ?? 0) + count);
  }
  const present = new Map<string, WorkerInspection>();
  for (const worker of workers) {
    if (worker.condition === 'connected') continue;
    const label = labels.of(worker.name);
    const other = present.get(label);
    if (other === undefined || ranks.indexOf(worker.condition) < ranks.indexOf(other.condition))
      present.set(label, worker);
  }
  const names = new Set([...seen, ...present.keys()]);
  return [...names].map((name) => {
    const worker = present.get(name);
    const engine = worker?.engine;
    return {
      name,
      state: worker?.condition ?? 'lost',
      engine: engine === undefined ? '' : `${engine.kind}, ${engine.device}`,
      samples: samples.get(name) ?? 0,
      ...(worker === undefined ? { computing: 0, exchanging: 0 } : shares.of(name)),
      roundTripMilliseconds: worker?.traffic.roundTripMilliseconds,
    };
  });
}
