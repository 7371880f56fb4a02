import type { EngineIdentity } from '../shared/engine-identity.ts';
import { leaseOf } from './decisions/leases.ts';
import type { Traffic } from './network/peer.ts';
import type { Counts, Phase, RunState, WorkerState } from './decisions/state.ts';

/** A run's state, for viewers. */
export interface Inspection {
  readonly phase: Phase;
  /** The number of workers that the run needs to start or to continue. */
  readonly awaited: number;
  readonly counts: Counts;
  readonly engine: EngineIdentity | undefined;
  readonly workers: readonly WorkerInspection[];
  /** Training samples in accepted results, by worker. */
  readonly delivered: ReadonlyMap<string, number>;
}

export interface WorkerInspection {
  readonly name: string;
  readonly condition: Condition;
  readonly engine: EngineIdentity | undefined;
  readonly traffic: Traffic;
}

/**
 * `idle`: ready, but without a part of the open step. `late`: missed a deadline and has not
 * answered since.
 */
export type Condition = 'connected' | 'preparing' | 'idle' | 'training' | 'late' | 'set_aside';

export function inspect(
  state: RunState,
  trafficOf: (slot: number) => Traffic | undefined,
): Inspection {
  const { phase, counts, engine, delivered, started } = state;
  const { minWorkers, startWorkers } = state.settings;
  const workers: WorkerInspection[] = [];
  for (const worker of state.workers.values()) {
    const traffic = trafficOf(worker.slot);
    if (traffic === undefined) continue;
    workers.push({
      name: worker.name,
      condition: conditionOf(state, worker),
      engine: worker.engine,
      traffic,
    });
  }
  const awaited = started ? minWorkers : Math.max(minWorkers, startWorkers);
  return { phase, awaited, counts, engine, workers, delivered };
}

function conditionOf(
  { task }: RunState,
  { phase, slot, late, asideUntil }: WorkerState,
): Condition {
  if (phase !== 'ready') return phase;
  if (late) return 'late';
  if (asideUntil !== undefined) return 'set_aside';
  if (task === undefined) return 'idle';
  const hasPart = [...task.parts.keys()].some((part) => leaseOf(task, part, slot) !== undefined);
  return hasPart ? 'training' : 'idle';
}
