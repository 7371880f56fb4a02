import { MAX_TRACED } from '../../shared/limits/trace.ts';
import type { Marks } from '../../shared/wire/message-fields.ts';
import type { ResultMessage } from '../../shared/wire/messages.ts';
import { isTraced, type TracedSteps } from '../../shared/wire/traced-steps.ts';
import type { Effect } from '../decisions/effects.ts';

/** What the coordinator did, by its own clock in milliseconds. */
export interface OwnSpan {
  readonly name: string;
  /** Steps, the work of the event loop, or what happens beside it. */
  readonly track: 'steps' | 'work' | 'checkpoints';
  readonly step: number;
  readonly begun: number;
  readonly ended: number;
  readonly details?: Readonly<Record<string, string | number>>;
}

/** A result of a worker. */
export interface TracedResult {
  readonly worker: string;
  /** Differs for each connection: a worker that is started again has another clock. */
  readonly connection: number;
  readonly task: string;
  readonly step: number;
  readonly part: number;
  /** When the coordinator sent the work, and when the result arrived, in milliseconds. */
  readonly sent: number;
  readonly arrived: number;
  readonly microseconds: number;
  readonly marks: Marks | undefined;
}

export interface Traced {
  readonly spans: readonly OwnSpan[];
  readonly results: readonly TracedResult[];
  /** Spans and results that are left out because there are too many. */
  readonly leftOut: number;
}

/** Effects that take time, by what they are called in a trace. */
const names: Readonly<Partial<Record<Effect['kind'], string>>> = {
  broadcast: 'send',
  send: 'send',
  receive: 'receive',
  combine: 'sum',
  update: 'update',
  record: 'record',
  checkpoint: 'checkpoint',
  evaluate: 'evaluate',
  restore: 'restore',
};

/**
 * Records when the coordinator and the workers did what in some steps of a run. It never stops or
 * changes the run.
 */
export class StepTrace {
  readonly window: TracedSteps;
  readonly #now: () => number;
  #done: ((traced: Traced) => void) | undefined;
  readonly #spans: OwnSpan[] = [];
  readonly #results: TracedResult[] = [];
  #leftOut = 0;
  /** The step whose messages are being sent or answered; 0 outside the window. */
  #step = 0;
  /** When the open step was first sent. */
  #begun: number | undefined;
  /** The end of the event loop's last piece of work. */
  #idleSince: number | undefined;
  /** When each slot last got work. */
  readonly #sent = new Map<number, number>();
  readonly #connections = new Map<number, number>();
  #connected = 0;

  /** Calls `done` once, after the window or at the end of the run, if any step was traced. */
  constructor(window: TracedSteps, now: () => number, done: (traced: Traced) => void) {
    this.window = window;
    this.#now = now;
    this.#done = done;
  }

  /** A checkpoint was written beside the steps; that took so long. */
  checkpointed(step: number, milliseconds: number): void {
    const ended = this.#now();
    const begun = ended - milliseconds;
    if (isTraced(this.window, step))
      this.#add({ name: 'write checkpoint', track: 'checkpoints', step, begun, ended });
  }

  /** Performs an effect, and records how long that took. */
  around(effect: Effect, perform: () => void): void {
    if (effect.kind === 'broadcast') this.#enter(effect.message.step, effect.message.kind);
    const name = names[effect.kind];
    if (this.#step === 0 || name === undefined) return perform();
    const begun = this.#now();
    if (effect.kind === 'receive' && this.#idleSince !== undefined)
      this.#work('wait', this.#idleSince, begun);
    if (effect.kind === 'broadcast') for (const slot of effect.slots) this.#sent.set(slot, begun);
    if (effect.kind === 'send') this.#sent.set(effect.slot, begun);
    perform();
    const ended = this.#now();
    this.#work(name, begun, ended, detailsOf(effect));
    this.#idleSince = ended;
    if (effect.kind !== 'update' || this.#begun === undefined) return;
    const step = this.#step;
    this.#add({ name: `step ${step}`, track: 'steps', step, begun: this.#begun, ended });
    this.#begun = undefined;
  }

  /** A result has arrived. */
  result(slot: number, worker: string, message: ResultMessage): void {
    const { step, part, microseconds, marks } = message;
    if (this.#step === 0 || step !== this.#step) return;
    const arrived = this.#now();
    const sent = this.#sent.get(slot);
    if (sent === undefined) return;
    const connection = this.#connections.get(slot) ?? 0;
    const task = message.kind === 'gradient' ? 'step' : message.set;
    if (this.#isFull()) return;
    this.#results.push({
      worker,
      connection,
      task,
      step,
      part,
      sent,
      arrived,
      microseconds,
      marks,
    });
  }

  /** A worker has connected; its clock is not known. */
  connected(slot: number): void {
    this.#connected += 1;
    this.#connections.set(slot, this.#connected);
    this.#sent.delete(slot);
  }

  #enter(step: number, kind: 'step' | 'evaluate'): void {
    const isWithin = this.#done !== undefined && isTraced(this.window, step);
    if (!isWithin && this.#step !== 0 && step > this.window.to) this.end();
    if (isWithin && kind === 'step' && step !== this.#step) this.#begun = this.#now();
    if (!isWithin || this.#step === 0) this.#idleSince = undefined;
    this.#step = isWithin ? step : 0;
  }

  #work(name: string, begun: number, ended: number, details?: OwnSpan['details']): void {
    const step = this.#step;
    const more = details === undefined ? {} : { details };
    this.#add({ name, track: 'work', step, begun, ended, ...more });
  }

  #add(span: OwnSpan): void {
    if (this.#done !== undefined && !this.#isFull()) this.#spans.push(span);
  }

  /** Counts what is left out. */
  #isFull(): boolean {
    const isFull = this.#spans.length + this.#results.length >= MAX_TRACED;
    if (isFull) this.#leftOut += 1;
    return isFull;
  }

  /** The run, or the window, is over. */
  end(): void {
    const done = this.#done;
    this.#done = undefined;
    this.#step = 0;
    if (this.#spans.length === 0) return;
    done?.({ spans: this.#spans, results: this.#results, leftOut: this.#leftOut });
  }
}

function detailsOf(effect: Effect): OwnSpan['details'] {
  if (effect.kind === 'receive') return { slot: effect.slot, part: effect.part };
  if (effect.kind === 'broadcast') return { slots: effect.slots.join(' ') };
  return effect.kind === 'combine' ? { node: effect.node } : undefined;
}
