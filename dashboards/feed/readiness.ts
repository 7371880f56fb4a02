import type { Inspection } from '../../coordinator/inspection.ts';

/** Whether a run has the workers it needs, as the terminal and the page say it. */
export interface Standing {
  /** It does nothing until enough workers are ready. */
  readonly isWaiting: boolean;
  /** Workers that compute, or could. */
  readonly ready: number;
  /** So many must be ready before it begins, or continues. */
  readonly needed: number;
  /** Workers that connect or prepare. */
  readonly coming: number;
  /** Of those that are ready, the ones that owe an answer. */
  readonly late: number;
}

export function standingOf({ phase, awaited, workers }: Inspection): Standing {
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
export function waitText({ ready, needed, coming }: Omit<Standing, 'isWaiting' | 'late'>): string {
  const preparing = coming === 0 ? '' : `, ${coming} preparing`;
  return `waiting for workers: ${ready} of ${needed} ready${preparing}`;
}
