import type { Inspection, WorkerInspection } from '../../coordinator/inspection.ts';
import type { WorkerStatus } from './api.ts';
import type { WorkerStateName } from '../metrics/catalogue.ts';
import type { WorkerLabels } from '../metrics/worker-labels.ts';
import type { TimeShares } from './time-shares.ts';

/** A label shared by several workers gets the first of these states that any of them is in. */
const ranks: readonly WorkerStateName[] = [
  ...(['training', 'late', 'set_aside', 'idle', 'preparing', 'connected', 'lost'] as const),
];

/**
 * The workers by label, in the order of arrival: those that are connected, and those in `before`
 * that are gone. Excludes connections that have not sent a hello, because they have no name yet.
 * After the end of the run, workers that were not lost are done.
 */
export function workerStatuses(
  inspection: Inspection,
  before: readonly WorkerStatus[],
  labels: WorkerLabels,
  shares: TimeShares,
  isOver: boolean,
): WorkerStatus[] {
  const present = presentBy(labels, inspection);
  const samples = samplesBy(labels, inspection);
  const seen = new Map(before.map((worker) => [worker.name, worker]));
  return [...new Set([...seen.keys(), ...present.keys()])].map((name) => {
    const worker = present.get(name);
    const earlier = seen.get(name);
    const state = worker?.condition ?? (isOver ? earlier?.state : undefined) ?? 'lost';
    const engine = worker?.engine;
    return {
      name,
      state: isOver ? stateAtEnd(state) : state,
      engine: engine === undefined ? (earlier?.engine ?? '') : `${engine.kind}, ${engine.device}`,
      samples: samples.get(name) ?? 0,
      ...(worker === undefined ? { computing: 0, exchanging: 0 } : shares.of(name)),
      roundTripMilliseconds: worker?.traffic.roundTripMilliseconds,
    };
  });
}

/** The state of a worker after the end of the run. */
export function stateAtEnd(state: WorkerStatus['state']): WorkerStatus['state'] {
  return state === 'lost' ? 'lost' : 'done';
}

function presentBy(labels: WorkerLabels, { workers }: Inspection): Map<string, WorkerInspection> {
  const present = new Map<string, WorkerInspection>();
  for (const worker of workers) {
    if (worker.condition === 'connected') continue;
    const label = labels.of(worker.name);
    const other = present.get(label);
    if (other === undefined || ranks.indexOf(worker.condition) < ranks.indexOf(other.condition))
      present.set(label, worker);
  }
  return present;
}

function samplesBy(labels: WorkerLabels, { delivered }: Inspection): Map<string, number> {
  const samples = new Map<string, number>();
  for (const [name, count] of delivered) {
    const label = labels.find(name);
    if (label === undefined) continue;
    samples.set(label, (samples.get(label) ?? 0) + count);
  }
  return samples;
}
