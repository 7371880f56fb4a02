import { z } from 'zod';
import { evaluatedSets, type EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import { MAX_REMEMBERED_WORKERS } from '../../shared/limits.ts';
import type { RecordedEvent } from './event-lines.ts';

const evaluationSchema = z.object({
  set: z.enum(evaluatedSets).default('test'),
  samples: z.int().min(1),
  correct: z.int().min(0),
  loss: z.number(),
});
const workerSchema = z.object({ worker: z.string() });
const readySchema = z.object({
  worker: z.string(),
  engine: z.string(),
  device: z.string().optional(),
});

/**
 * Totals over a run's events: how long the run ran and waited, and which workers took part.
 * Consumes the events one by one, in bounded memory. Values that the events do not contain are
 * undefined.
 */
export class RunHistory {
  joined = 0;
  lost = 0;
  /**
   * The engine and the device of the worker that became ready last; older versions did not record
   * the device.
   */
  engine: string | undefined;
  device: string | undefined;
  /** The last evaluation: its set, the accuracy (a ratio) and the mean loss. */
  evaluation:
    { readonly set: EvaluatedSet; readonly accuracy: number; readonly loss: number } | undefined;
  /** The loss of the first evaluation of the test set. */
  firstLoss: number | undefined;
  /** The engine and the device of each worker. */
  readonly engines = new Map<string, string>();
  #seconds = 0;
  #waited = 0;
  /** Whether the events say when enough workers were ready; events from older versions do not. */
  #saysWaiting = false;
  /** The first and the newest event from the current coordinator. */
  #first: RecordedEvent | undefined;
  #last: RecordedEvent | undefined;
  #waitsSince: RecordedEvent | undefined;
  /** Connected workers that have delivered a result. */
  readonly #present = new Set<string>();
  #most = 0;
  readonly #names = new Set<string>();

  add(event: RecordedEvent): void {
    if (event.event === 'start') this.#begin(event);
    // A finished run writes its report before the `end` event; that time is not training time.
    if (event.event !== 'end' || event['state'] !== 'finished') this.#last = event;
    switch (event.event) {
      case 'hello':
        this.joined += 1;
        break;
      case 'ready':
        this.#ready(event);
        break;
      case 'running':
        this.#saysWaiting = true;
        this.#waited += secondsBetween(this.#waitsSince, event);
        this.#waitsSince = undefined;
        break;
      case 'waiting':
        this.#waitsSince = event;
        break;
      case 'first_shard': {
        const { data } = workerSchema.safeParse(event);
        if (data === undefined) break;
        if (this.#names.size < MAX_REMEMBERED_WORKERS) this.#names.add(data.worker);
        if (this.#present.size < MAX_REMEMBERED_WORKERS) this.#present.add(data.worker);
        this.#most = Math.max(this.#most, this.#present.size);
        break;
      }
      case 'lost': {
        this.lost += 1;
        const { data } = workerSchema.safeParse(event);
        if (data !== undefined) this.#present.delete(data.worker);
        break;
      }
      case 'evaluation': {
        const { data } = evaluationSchema.safeParse(event);
        if (data === undefined) break;
        this.evaluation = { set: data.set, accuracy: data.correct / data.samples, loss: data.loss };
        if (data.set === 'test') this.firstLoss ??= data.loss;
        break;
      }
      default:
    }
  }

  /**
   * The seconds that coordinators have spent on the run, excluding the pauses between coordinators.
   * For a run in progress, `now` is the current time.
   */
  seconds(now?: number): number {
    const since =
      now === undefined || this.#last === undefined
        ? 0
        : (now - Date.parse(this.#last.time)) / 1000;
    return this.#seconds + secondsBetween(this.#first, this.#last) + Math.max(0, since);
  }

  /** How many of those seconds the run waited for workers; undefined if the events do not say. */
  get waited(): number | undefined {
    if (!this.#saysWaiting) return undefined;
    return this.#waited + secondsBetween(this.#waitsSince, this.#last);
  }

  /** The largest number of workers that delivered results at the same time. */
  get workersAtOnce(): number {
    return this.#most;
  }

  /** The workers that delivered results. */
  get workers(): ReadonlySet<string> {
    return this.#names;
  }

  #begin(start: RecordedEvent): void {
    this.#seconds += secondsBetween(this.#first, this.#last);
    this.#waited += secondsBetween(this.#waitsSince, this.#last);
    this.#first = start;
    this.#waitsSince = start;
    this.#present.clear();
  }

  #ready(event: RecordedEvent): void {
    const { data } = readySchema.safeParse(event);
    if (data === undefined) return;
    this.engine = data.engine;
    this.device = data.device;
    if (this.engines.size >= MAX_REMEMBERED_WORKERS && !this.engines.has(data.worker)) return;
    this.engines.set(
      data.worker,
      data.device === undefined ? data.engine : `${data.engine}, ${data.device}`,
    );
  }
}

/**
 * Uses the coordinator's monotonic clock if the events contain it, because the system clock may be
 * reset.
 */
function secondsBetween(first: RecordedEvent | undefined, last: RecordedEvent | undefined): number {
  if (first === undefined || last === undefined) return 0;
  if (first.elapsed !== undefined && last.elapsed !== undefined)
    return Math.max(0, last.elapsed - first.elapsed);
  return Math.max(0, Date.parse(last.time) - Date.parse(first.time)) / 1000;
}
