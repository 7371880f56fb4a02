import type { Inspection } from '../../coordinator/inspection.ts';

/** Whether a run has enough workers, as the terminal and the page show it. */
export interface Readiness {
  /** Whether the run is waiting until enough workers are ready. */
  readonly isWaiting: boolean;
  /** Number of workers that are computing or could compute. */
  readonly ready: number;
  /** Number of ready workers that the run needs to start or to continue. */
  readonly needed: number;
  /** Number of workers that are connecting or preparing. */
  readonly coming: number;
  /** Number of ready workers that missed a deadline and have not answered yet. */
  readonly late: number;
}

export function readinessOf({ phase, awaited, workers }: Inspection): Readiness {
  const count = (...conditions: readonly string[]) =>
    workers.filter(({ condition }) => conditions.includes(condition)).length;
  return {
    isWaiting: phase === 'gathering',
    ready: count('idle', 'training', 'late', 'set_aside'),
    needed: awaited,
    coming: count('connected', 'preparing'),
    late: count('late'),
  };
}

/** Text such as `waiting for workers: 1 of 2 ready, 1 preparing`. */
export function waitText({ ready, needed, coming }: Omit<Readiness, 'isWaiting' | 'late'>): string {
  const preparing = coming === 0 ? '' : `, ${coming} preparing`;
  return `waiting for workers: ${ready} of ${needed} ready${preparing}`;
}
