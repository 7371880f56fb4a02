import { z } from 'zod';
import type { EvaluationReport } from '../../coordinator/viewer.ts';
import type { Outcome } from '../../coordinator/decisions/effects.ts';
import {
  MAX_CURVE_POINTS,
  MAX_SHOWN_CHANGES,
  MAX_SHOWN_EVALUATIONS,
  MAX_SHOWN_EVENTS,
  MAX_UPDATE_POINTS,
} from '../../shared/limits.ts';
import { MAX_SHOWN_NORMS } from '../../shared/limits/page.ts';
import { evaluatedSets } from '../../shared/evaluation/evaluated-set.ts';
import type { MetricsLine } from '../../shared/files/metrics.ts';
import type {
  Evaluated,
  EvaluationPoint,
  EventLine,
  RunView,
  StateChange,
  Status,
  StepValue,
  Update,
} from './api.ts';
import { Curve, type CurveStep } from './curve-history.ts';
import { eventLine, type RecordedEvent } from './event-lines.ts';
import type { PastLine } from './past-lines.ts';

/** The part of the view that does not change during a run. */
export type RunFacts = Omit<
  RunView,
  | 'run'
  | 'term'
  | 'started'
  | 'status'
  | 'curve'
  | 'gradientNorms'
  | 'evaluations'
  | 'tested'
  | 'evaluated'
  | 'events'
  | 'changes'
>;

/** The run when it was opened. */
type Opened = Pick<RunView, 'run' | 'term' | 'started'>;

type Evaluation = Pick<EvaluationReport, 'set' | 'step' | 'loss' | 'correct' | 'samples'>;

const confusionSchema = z.object({
  set: z.enum(evaluatedSets).default('test'),
  step: z.int(),
  confusion: z.array(z.array(z.int())),
});

/** Keeps a run's view, in bounded size, and the changes since the last update. */
export class Board {
  readonly #facts: RunFacts;
  readonly #labelOf: (worker: string) => string;
  #opened: Opened | undefined;
  #curve = new Curve(MAX_CURVE_POINTS);
  readonly #news = new Curve(MAX_UPDATE_POINTS);
  #gradientNorms: StepValue[] = [];
  #evaluations: EvaluationPoint[] = [];
  #tested: EvaluationPoint | undefined;
  #evaluated: Evaluated | undefined;
  readonly #events: EventLine[] = [];
  readonly #changes: StateChange[] = [];
  readonly #states = new Map<string, StateChange['state']>();
  #update: {
    gradientNorms?: StepValue[];
    evaluation?: EvaluationPoint;
    tested?: EvaluationPoint;
    evaluated?: Evaluated;
    events: EventLine[];
    changes: StateChange[];
    isRestated?: true;
  } = { events: [], changes: [] };
  #end: Outcome | undefined;
  #checkpointStep: number | undefined;

  /** `labelOf` returns the name that the page shows for a worker. */
  constructor(facts: RunFacts, labelOf: (worker: string) => string) {
    this.#facts = facts;
    this.#labelOf = labelOf;
  }

  /** Opens the run and adds the newest events from earlier coordinators. */
  opened({
    run,
    term,
    started,
    events,
  }: Opened & { readonly events: Iterable<RecordedEvent> }): void {
    this.#opened = { run, term, started };
    for (const event of events) this.#restoreEvent(event);
    this.#update = { events: [], changes: [] };
  }

  /** Opens a run that is read from its files: all its lines and events. */
  async restored({
    run,
    term,
    started,
    lines,
    events,
  }: Opened & {
    readonly lines: AsyncIterable<MetricsLine>;
    readonly events: AsyncIterable<RecordedEvent>;
  }): Promise<void> {
    this.#opened = { run, term, started };
    for await (const line of lines) {
      if (line.kind === 'step') this.#curve.add(line);
      else this.evaluation(line);
    }
    for await (const event of events) this.#restoreEvent(event);
    this.#update = { events: [], changes: [] };
  }

  /** Inserts the history from earlier coordinators; open pages then fetch the view again. */
  async recall(lines: AsyncIterable<PastLine>): Promise<void> {
    const past = new Curve(MAX_CURVE_POINTS);
    let evaluations: EvaluationPoint[] = [];
    let tested: EvaluationPoint | undefined;
    for await (const line of lines) {
      if (line.kind === 'step') past.add(line);
      else if (line.set === this.#facts.evaluatedSet)
        evaluations = withPoint(evaluations, pointOf(line), MAX_SHOWN_EVALUATIONS);
      else tested = pointOf(line);
    }
    // This coordinator may have tested in the meantime.
    this.#tested ??= tested;
    past.join(this.#curve);
    this.#curve = past;
    for (const point of this.#evaluations)
      evaluations = withPoint(evaluations, point, MAX_SHOWN_EVALUATIONS);
    this.#evaluations = evaluations;
    this.#update.isRestated = true;
  }

  /** Adds a step, unless an earlier coordinator had already computed it. */
  step(report: CurveStep): void {
    if (this.#curve.add(report)) this.#news.add(report);
  }

  gradientNorm(step: number, norm: number): void {
    if (!Number.isFinite(norm)) return;
    this.#gradientNorms = withPoint(this.#gradientNorms, [step, norm], MAX_SHOWN_NORMS);
    (this.#update.gradientNorms ??= []).push([step, norm]);
    if (this.#update.gradientNorms.length > MAX_UPDATE_POINTS) this.#update.gradientNorms.shift();
  }

  evaluation(report: Evaluation): void {
    const point = pointOf(report);
    if (report.set !== this.#facts.evaluatedSet) {
      this.#tested = point;
      this.#update.tested = point;
      return;
    }
    const before = this.#evaluations;
    this.#evaluations = withPoint(before, point, MAX_SHOWN_EVALUATIONS);
    if (this.#evaluations !== before) this.#update.evaluation = point;
  }

  evaluated(evaluated: Evaluated): void {
    this.#evaluated = evaluated;
    this.#update.evaluated = evaluated;
  }

  event(
    event: string,
    fields: Readonly<Record<string, unknown>>,
    time = new Date().toISOString(),
  ): void {
    if (event === 'checkpoint') this.#checkpointStep = Number(fields['step']);
    const line = eventLine(time, event, fields);
    remember(this.#events, line, MAX_SHOWN_EVENTS);
    remember(this.#update.events, line, MAX_SHOWN_EVENTS);
    this.#follow(event, fields, Date.parse(time));
  }

  /** Records a change in a worker's state; changes after the end of the run are ignored. */
  state(worker: string, state: StateChange['state'], at = Date.now()): void {
    if (this.#end !== undefined || this.#states.get(worker) === state) return;
    this.#states.set(worker, state);
    const change = { at, worker, state };
    remember(this.#changes, change, MAX_SHOWN_CHANGES);
    remember(this.#update.changes, change, MAX_SHOWN_CHANGES);
  }

  /** The last known state of every worker that has not been forgotten. */
  get states(): ReadonlyMap<string, StateChange['state']> {
    return this.#states;
  }

  /** Drops a worker; its label may then be given to a different worker. */
  forget(worker: string): void {
    this.#states.delete(worker);
  }

  get checkpointStep(): number | undefined {
    return this.#checkpointStep;
  }

  ended(outcome: Outcome): void {
    this.#end = outcome;
  }

  get outcome(): Outcome | undefined {
    return this.#end;
  }

  /** The whole view; undefined before the run is open. */
  view(status: Status): RunView | undefined {
    if (this.#opened === undefined) return undefined;
    return {
      ...this.#facts,
      ...this.#opened,
      status,
      curve: this.#curve.points(),
      gradientNorms: this.#gradientNorms,
      evaluations: this.#evaluations,
      ...(this.#tested === undefined ? {} : { tested: this.#tested }),
      evaluated: this.#evaluated,
      events: this.#events,
      changes: this.#changes,
    };
  }

  /** The changes since the last call; the status is always included. */
  takeUpdate(status: Status): Update {
    const { events, changes, ...rest } = this.#update;
    this.#update = { events: [], changes: [] };
    const curve = this.#news.take();
    return {
      status,
      ...rest,
      ...(curve.length === 0 ? {} : { curve }),
      ...(events.length === 0 ? {} : { events }),
      ...(changes.length === 0 ? {} : { changes }),
    };
  }

  /** Derives state changes from an event. */
  #follow(event: string, fields: Readonly<Record<string, unknown>>, at: number): void {
    // No worker has connected to the new coordinator yet.
    if (event === 'start') for (const worker of this.#states.keys()) this.state(worker, 'lost', at);
    const { worker } = fields;
    const state = stateAfter(event, fields);
    if (state !== undefined && typeof worker === 'string')
      this.state(this.#labelOf(worker), state, at);
  }

  /** Restores only the matrix: pictures would need the earlier coordinator's predictions. */
  #restoreConfusion(fields: unknown): void {
    const parsed = confusionSchema.safeParse(fields);
    if (parsed.success) this.#evaluated = { ...parsed.data, mistakes: [] };
  }

  #restoreEvent({ time, event, ...fields }: RecordedEvent): void {
    this.event(event, fields, time);
    if (event === 'evaluation') this.#restoreConfusion(fields);
  }
}

function pointOf({ step, loss, correct, samples }: Evaluation): EvaluationPoint {
  return [step, loss, correct / samples];
}

/** Adds a point unless its step is already known; drops every second one if there are too many. */
function withPoint<P extends readonly [step: number, ...values: number[]]>(
  points: P[],
  point: P,
  limit: number,
): P[] {
  if (point[0] <= (points.at(-1)?.[0] ?? -1)) return points;
  const more = [...points, point];
  return more.length > limit ? more.filter((_, i) => i % 2 === 1) : more;
}

/** A worker's state after an event; undefined for events that do not change it. */
function stateAfter(
  event: string,
  { late }: Readonly<Record<string, unknown>>,
): StateChange['state'] | undefined {
  switch (event) {
    case 'hello':
      return 'preparing';
    case 'ready':
      return 'idle';
    case 'first_shard':
    case 'back':
      return 'training';
    case 'lease_again':
      return late === true ? 'late' : undefined;
    case 'set_aside':
    case 'lost':
      return event;
    default:
      return undefined;
  }
}

function remember<T>(list: T[], item: T, max: number): void {
  list.push(item);
  if (list.length > max) list.shift();
}
