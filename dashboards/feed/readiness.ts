import type { Inspection } from '../../coordinator/inspection.ts';

/** Whether a run has enough workers, for the terminal and the page. */
export interface Readiness {
  /** The run waits until enough workers are ready. */
  readonly isWaiting: boolean;
  /** Workers that compute or can compute. */
  readonly ready: number;
  /** Workers that must be ready to start or to continue. */
  readonly needed: number;
  /** Workers that connect or prepare. */
  readonly coming: number;
  /** Ready workers that missed a deadline and have not answered yet. */
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

/** `waiting for workers: 1 of 2 ready, 1 preparing`. */
export function waitText({ ready, needed, coming }: Omit<Readiness, 'isWaiting' | 'late'>): string {
  const preparing = coming === 0 ? '' : `, ${coming} preparing`;
  return `waiting for workers: ${ready} of ${needed} ready${preparing}`;
}
