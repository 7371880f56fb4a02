import type {
  Evaluated,
  EvaluationPoint,
  EventLine,
  RunView,
  StateChange,
  Status,
  Update,
} from '../feed/api.ts';
import { Curve } from './curve-columns.ts';
import { MAX_CHANGES, MAX_EVALUATIONS, MAX_EVENTS } from './page-limits.ts';

/** Part of an epoch that the smooth curve remembers. */
const MEMORY_EPOCHS = 1 / 20;

/**
 * All that the page shows: a view as it was fetched, and every update since. Lists are replaced,
 * never changed in place, so whoever draws them sees by identity whether there is anything to do;
 * the curve grows in place.
 *
 * A stream is open before its view is fetched, so an update may tell what the view holds already:
 * whatever is not newer is left out.
 */
export class RunState {
  readonly view: RunView;
  readonly curve: Curve;
  status: Status;
  evaluations: readonly EvaluationPoint[];
  evaluated: Evaluated | undefined;
  events: readonly EventLine[];
  changes: readonly StateChange[];

  constructor(view: RunView) {
    this.view = view;
    this.curve = new Curve(smoothSteps(view));
    this.curve.append(view.curve);
    this.status = view.status;
    this.evaluations = view.evaluations;
    this.evaluated = view.evaluated;
    this.events = view.events.slice(-MAX_EVENTS);
    this.changes = view.changes.slice(-MAX_CHANGES);
  }

  merge(update: Update): void {
    if (update.curve !== undefined) this.curve.append(update.curve);
    // Only time tells an old status from a new one: while workers are waited for nothing else
    // rises.
    if (update.status !== undefined && update.status.at >= this.status.at)
      this.status = update.status;
    if (update.evaluation !== undefined)
      this.evaluations = withEvaluation(this.evaluations, update.evaluation);
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

  /** Unix time in milliseconds by the coordinator's clock: when the newest status was sent. */
  get now(): number {
    return Math.max(this.status.at, this.changes.at(-1)?.at ?? 0);
  }
}

/** How many steps the smooth curve of a run remembers. */
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

function withEvaluation(
  known: readonly EvaluationPoint[],
  point: EvaluationPoint,
): readonly EvaluationPoint[] {
  const [step] = point;
  if (step <= (known.at(-1)?.[0] ?? 0)) return known;
  // Of very many every second stays, and the newest always.
  const kept = known.length < MAX_EVALUATIONS ? known : known.filter((_, index) => index % 2 === 1);
  return [...kept, point];
}

/**
 * `known` and what of `fresh` it lacks, the last `limit`. Both are stretches of one list, and
 * `fresh` begins at the end of `known` at the latest: where they agree for as long as both last,
 * they are the same entries.
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

function isSameEvent(a: EventLine, b: EventLine): boolean {
  return a.time === b.time && a.event === b.event && a.message === b.message;
}

function isSameChange(a: StateChange, b: StateChange): boolean {
  return a.at === b.at && a.worker === b.worker && a.state === b.state;
}
