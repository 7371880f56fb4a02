import { reduce } from '../../coordinator/decisions/training-loop.ts';
import type { Effect, Outcome } from '../../coordinator/decisions/effects.ts';
import type { RunEvent } from '../../coordinator/decisions/events.ts';
import { initialState, type RunState, type Settings } from '../../coordinator/decisions/state.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { unreachable } from '../../shared/errors.ts';
import { ARITHMETIC, PROTOCOL, type WorkerMessage } from '../../shared/wire/messages.ts';
import { totalSteps } from '../../shared/arithmetic/schedule.ts';
import { sampleEngine } from '../shared/sample-engine.ts';

export const configuration: Configuration = {
  dataset: '0'.repeat(64),
  trainSamples: 100,
  testSamples: 1200,
  model: { inputs: 4, hidden: [3], classes: 2 },
  dropout: 0,
  batchSize: 32,
  virtualShards: 8,
  learningRate: 0.001,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-7,
  seed: 1,
  epochs: 2,
};

/** Something a worker was asked for and has not answered. */
export interface Request {
  readonly slot: number;
  readonly kind: 'step' | 'evaluation';
  readonly step: number;
  readonly part: number;
}

/**
 * The coordinator's reducers with a shell that calculates with words instead of numbers: the sum at a node is the text
 * of its expression, so two runs agree exactly if every addition was made alike.
 */
export class Cluster {
  state: RunState;
  now = 0;
  /** The expression each step was updated with. */
  readonly updates: string[] = [];
  readonly evaluations: string[] = [];
  readonly checkpoints: number[] = [];
  readonly closed: { slot: number; code: string }[] = [];
  readonly logs: string[] = [];
  readonly devices: Extract<Effect, { kind: 'devices' }>[] = [];
  digestOf: (request: Request, checksum: bigint) => string = (_, checksum) => `${checksum}`;
  /** What every worker was told of who computes what, step by step. */
  readonly assignments: (readonly (readonly number[])[])[] = [];
  requests: Request[] = [];
  outcome: Outcome | undefined;
  nonFinite: (request: Request) => boolean = () => false;
  /** What a worker's sum is, by its checksum: all compute the same. */
  checksumOf: (request: Request) => bigint = ({ step, part }) => BigInt(1000 * step + part);
  #sums = new Map<number, string>();
  #chunks = new Map<number, string>();
  #received = '';

  constructor(settings: Partial<Settings> = {}) {
    const chosen = settings.configuration ?? configuration;
    this.state = initialState(
      {
        ...{
          run: 'r',
          term: 1,
          configuration: chosen,
          totalSteps: totalSteps(chosen),
          startWorkers: 1,
          minWorkers: 1,
          maxWorkers: 256,
        },
        ...{
          rendezvousMilliseconds: 60_000,
          allowMixedEngines: false,
          checkpointEvery: { steps: 1000 },
          audit: undefined,
        },
        ...settings,
      },
      0,
    );
  }

  #connections = 0;

  connect(slot: number): void {
    this.#connections += 1;
    const session = this.#connections.toString(16).padStart(32, '0');
    this.dispatch({ kind: 'connected', slot, session, now: this.now });
  }

  say(slot: number, message: WorkerMessage, checksum?: bigint): void {
    this.dispatch({ kind: 'message', slot, message, checksum, now: this.now });
  }

  /** Connects, greets and becomes ready. */
  join(slot: number, fingerprint = 'f', name = `w${slot}`): void {
    this.connect(slot);
    this.say(slot, {
      kind: 'hello',
      protocol: PROTOCOL,
      arithmetic: ARITHMETIC,
      version: '0',
      name,
    });
    this.say(slot, { kind: 'preparing', limitMilliseconds: 1000 });
    this.say(slot, { kind: 'ready', fingerprint, engine: sampleEngine });
  }

  leave(slot: number): void {
    this.requests = this.requests.filter((request) => request.slot !== slot);
    this.dispatch({ kind: 'disconnected', slot, reason: 'gone', now: this.now });
  }

  answer(request: Request, correct = 0): void {
    const fence = { run: 'r', term: 1, step: request.step, part: request.part, microseconds: 1 };
    this.requests = this.requests.filter((other) => other !== request);
    this.#at = request;
    const checksum = this.checksumOf(request);
    this.#sent = { checksum, digest: this.digestOf(request, checksum) };
    if (request.kind === 'step') this.say(request.slot, { kind: 'gradient', ...fence, correct }, checksum);
    else this.say(request.slot, { kind: 'predictions', ...fence }, checksum);
  }

  /** Answers everything, the first request first, until the run ends or nobody is asked. */
  finish(): void {
    for (
      let next = this.requests[0];
      next !== undefined && this.outcome === undefined;
      next = this.requests[0]
    )
      this.answer(next);
  }

  tick(milliseconds: number): void {
    this.now += milliseconds;
    this.dispatch({ kind: 'tick', now: this.now });
  }

  dispatch(event: RunEvent): void {
    const { state, effects } = reduce(this.state, event);
    this.state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #at: Request | undefined;
  #sent = { checksum: 0n, digest: '' };

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        if (effect.message.kind === 'lease') {
          const kind = this.state.task?.kind ?? 'step';
          for (const part of effect.message.parts)
            this.requests.push({ slot: effect.slot, kind, step: effect.message.step, part });
        }
        return;
      case 'broadcast':
        return this.#request(effect);
      case 'receive': {
        this.#received = `${effect.part}`;
        const request = {
          slot: effect.slot,
          kind: effect.task,
          step: this.#at?.step ?? 0,
          part: effect.part,
        };
        const verdict = {
          part: effect.part,
          slot: effect.slot,
          correct: effect.correct,
          microseconds: effect.microseconds,
          intact: true,
          stale: false,
          checksum: this.#sent.checksum,
          digest: effect.isDigested ? this.#sent.digest : undefined,
          finite: !this.nonFinite(request),
        };
        return this.dispatch({ kind: 'received', verdict, now: this.now });
      }
      case 'forget':
        this.#take(effect.node);
        return;
      case 'accept':
        if (effect.task === 'step') this.#sums.set(effect.part, expand(effect.part, this.state));
        else this.#chunks.set(effect.part, this.#received);
        return;
      case 'combine': {
        const right = effect.rightIsPadding ? '0' : this.#take(2 * effect.node + 1);
        this.#sums.set(effect.node, `(${this.#take(2 * effect.node)}+${right})`);
        return;
      }
      case 'update':
        this.updates.push(this.#take(1));
        if (this.#sums.size > 0) throw new Error('sums are left over');
        return this.dispatch({ kind: 'updated', finite: true, now: this.now });
      case 'record':
        return;
      case 'checkpoint':
        this.checkpoints.push(this.state.step);
        return;
      case 'evaluate':
        this.evaluations.push(
          `${effect.step}: ${[...this.#chunks.keys()].toSorted((a, b) => a - b).join(',')}`,
        );
        this.#chunks.clear();
        return this.dispatch({ kind: 'evaluated', finite: true, now: this.now });
      case 'close':
        this.closed.push({ slot: effect.slot, code: effect.code });
        return this.leave(effect.slot);
      case 'log':
        this.logs.push(effect.message);
        return;
      case 'devices':
        this.devices.push(effect);
        return;
      case 'end':
        this.outcome = effect.outcome;
        return;
      default:
        return unreachable(effect);
    }
  }

  #request({ message }: Extract<Effect, { kind: 'broadcast' }>): void {
    if (message.kind === 'step') {
      this.assignments.push(message.assignment);
      for (const [slot = 0, ...parts] of message.assignment)
        for (const part of parts) this.requests.push({ slot, kind: 'step', step: message.step, part });
      return;
    }
    for (const [slot, first, count] of message.assignment) {
      for (let i = 0; i < count; i++)
        this.requests.push({ slot, kind: 'evaluation', step: message.step, part: first + i });
    }
  }

  #take(node: number): string {
    const sum = this.#sums.get(node);
    if (sum === undefined) throw new Error(`no sum at node ${node}`);
    this.#sums.delete(node);
    return sum;
  }
}

/** A worker sums its subtree in the same tree. */
function expand(node: number, state: RunState): string {
  const leaves = state.settings.configuration.virtualShards;
  return node >= leaves ? `s${node - leaves}` : `(${expand(2 * node, state)}+${expand(2 * node + 1, state)})`;
}
