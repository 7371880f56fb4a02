import type { RunView, Status, Update } from '../feed/api.ts';
import { Curve } from './curve-columns.ts';
import { MAX_CHANGES, MAX_EVALUATIONS, MAX_EVENTS } from './page-limits.ts';

/** The smooth curve averages over this fraction of an epoch. */
const MEMORY_EPOCHS = 1 / 20;
const isSameEvent = sameIn<RunView['events'][number]>('time', 'event', 'message');
const isSameChange = sameIn<RunView['changes'][number]>('at', 'worker', 'state');

/**
 * The page's data: the fetched view and every update since then. Lists are replaced and never
 * changed in place, so that a reference comparison detects a change. Only the curve grows in place.
 *
 * The stream opens before the view is fetched, so an update may repeat a part of the view. Only
 * newer entries are merged.
 */
export class RunState {
  readonly view: RunView;
  readonly curve: Curve;
  status: Status;
  gradientNorms: RunView['gradientNorms'];
  evaluations: RunView['evaluations'];
  tested: RunView['tested'];
  evaluated: RunView['evaluated'];
  events: RunView['events'];
  changes: RunView['changes'];

  constructor(view: RunView) {
    this.view = view;
    this.curve = new Curve(smoothSteps(view));
    this.curve.append(view.curve);
    this.status = view.status;
    this.gradientNorms = view.gradientNorms;
    this.evaluations = view.evaluations;
    this.tested = view.tested;
    this.evaluated = view.evaluated;
    this.events = view.events.slice(-MAX_EVENTS);
    this.changes = view.changes.slice(-MAX_CHANGES);
  }

  merge(update: Update): void {
    if (update.curve !== undefined) this.curve.append(update.curve);
    // Statuses are ordered by time, because nothing else increases while the run waits for workers.
    if (update.status !== undefined && update.status.at >= this.status.at)
      this.status = update.status;
    for (const norm of update.gradientNorms ?? [])
      this.gradientNorms = withPoint(this.gradientNorms, norm);
    if (update.evaluation !== undefined)
      this.evaluations = withPoint(this.evaluations, update.evaluation);
    if (update.tested !== undefined) this.tested = update.tested;
    if (update.evaluated !== undefined && update.evaluated.step >= (this.evaluated?.step ?? 0))
      this.evaluated = update.evaluated;
    if (update.events !== undefined)
      this.events = continued(this.events, update.events, isSameEvent, MAX_EVENTS);
    if (update.changes !== undefined)
      this.changes = continued(this.changes, update.changes, isSameChange, MAX_CHANGES);
  }

  get isOver(): boolean {
    return isEnd(this.status.state);
  }

  /**
   * The time of the newest status or state change, in Unix milliseconds on the coordinator's clock.
   */
  get now(): number {
    return Math.max(this.status.at, this.changes.at(-1)?.at ?? 0);
  }
}

/** The number of steps that a run's smooth curve averages over. */
export function smoothSteps(view: RunView): number {
  return Math.max(1, Math.round(view.stepsPerEpoch * MEMORY_EPOCHS));
}

export function isEnd(state: Status['state']): boolean {
  switch (state) {
    case 'gathering':
    case 'running':
      return false;
    case 'finished':
    case 'interrupted':
    case 'failed':
    case 'diverged':
      return true;
  }
}

function withPoint<P extends readonly [step: number, ...values: number[]]>(
  known: readonly P[],
  point: P,
): readonly P[] {
  const [step] = point;
  if (step <= (known.at(-1)?.[0] ?? 0)) return known;
  // At the limit, every second point is dropped, but never the newest.
  const kept = known.length < MAX_EVALUATIONS ? known : known.filter((_, index) => index % 2 === 1);
  return [...kept, point];
}

/**
 * Appends the new entries of `fresh` to `known` and returns the last `limit` entries. Both
 * arguments are parts of the same list, and `fresh` starts no later than where `known` ends. The
 * longest matching overlap is assumed to be the part that both share.
 */
export function continued<T>(
  known: readonly T[],
  fresh: readonly T[],
  isSame: (a: T, b: T) => boolean,
  limit: number,
): readonly T[] {
  if (fresh.length === 0) return known;
  const agrees = (start: number) =>
    fresh.slice(0, known.length - start).every((entry, i) => {
      const other = known[start + i];
      return other !== undefined && isSame(other, entry);
    });
  let start = 0;
  while (start < known.length && !agrees(start)) start++;
  const rest = fresh.slice(known.length - start);
  return rest.length === 0 ? known : [...known, ...rest].slice(-limit);
}

/** Compares two entries by the given fields. */
function sameIn<T>(...fields: readonly (keyof T)[]): (a: T, b: T) => boolean {
  return (a, b) => fields.every((field) => a[field] === b[field]);
}
