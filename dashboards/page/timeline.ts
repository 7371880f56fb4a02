import type { StateChange } from '../feed/api.ts';

export type WorkerStateName = StateChange['state'];

/** A period during which a worker was in one state. Times are in Unix milliseconds. */
export interface Segment {
  readonly state: WorkerStateName;
  readonly from: number;
  readonly to: number;
}

/**
 * Each worker's states between two times, oldest first, starting with the worker's first known
 * change.
 */
export function timelines(
  changes: readonly StateChange[],
  from: number,
  to: number,
): Map<string, Segment[]> {
  const open = new Map<string, StateChange>();
  const found = new Map<string, Segment[]>();
  const close = (change: StateChange, end: number) => {
    const segment = { state: change.state, from: Math.max(from, change.at), to: Math.min(to, end) };
    if (segment.to <= segment.from) return;
    const timeline = found.get(change.worker) ?? [];
    timeline.push(segment);
    found.set(change.worker, timeline);
  };
  for (const change of changes) {
    const before = open.get(change.worker);
    // A repeated state extends the segment.
    if (before?.state === change.state) continue;
    if (before !== undefined) close(before, change.at);
    open.set(change.worker, change);
  }
  for (const change of open.values()) close(change, to);
  return found;
}

/** A state's label. */
export function stateText(state: WorkerStateName | 'done'): string {
  switch (state) {
    case 'connected':
    case 'preparing':
    case 'idle':
    case 'training':
    case 'late':
    case 'lost':
    case 'done':
      return state;
    case 'set_aside':
      return 'set aside';
  }
}
