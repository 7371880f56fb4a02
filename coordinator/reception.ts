import { fullBudget, spendOne, type Budget } from '../shared/budget.ts';
import { systemClock } from '../shared/clock.ts';
import type { Dataset } from '../shared/dataset/dataset.ts';
import { assert, type ErrorCode } from '../shared/errors.ts';
import {
  HEARTBEAT_INTERVAL_MILLISECONDS,
  MAX_SMALL_MESSAGES,
  SMALL_MESSAGES_PER_SECOND,
} from '../shared/limits.ts';
import type { Rendezvous } from '../shared/wire/rendezvous.ts';
import type { RunDescription } from '../shared/wire/run-description.ts';
import type { Peer, PeerEvents } from './network/peer.ts';
import { listen, type CoordinatorServer, type ServerOptions } from './network/server.ts';
import type { OpenMemory } from './network/worker-memory.ts';

export type ReceptionOptions = Pick<
  ServerOptions,
  'host' | 'port' | 'descriptor' | 'token' | 'tls' | 'version' | 'warn' | 'listening'
> & {
  /** The size of the largest frame in all runs. */
  readonly frameBytes: number;
};

/** A run that workers can join. */
export interface ServedRun {
  readonly description: RunDescription;
  readonly term: number;
  readonly dataset: Dataset;
  readonly openMemory: OpenMemory;
  /** The channel to workers on this host; undefined if there is none. */
  readonly channels: Rendezvous | undefined;
  readonly events: PeerEvents;
}

const SMALL_MESSAGES = { max: MAX_SMALL_MESSAGES, perSecond: SMALL_MESSAGES_PER_SECOND };

/**
 * Where workers join one run after the other. When a run is over, their connections stay open, and
 * the next run takes them over: each worker is told which one follows, and says hello again.
 */
export class Reception {
  readonly frameBytes: number;
  readonly #server: CoordinatorServer;
  readonly #beating: () => void;
  #run: ServedRun | undefined;
  /** What workers may send while there is no run, by slot. */
  #budgets = new Map<number, Budget>();

  private constructor(server: CoordinatorServer, frameBytes: number) {
    this.#server = server;
    this.frameBytes = frameBytes;
    this.#beating = systemClock.every(HEARTBEAT_INTERVAL_MILLISECONDS, () => this.#beat());
  }

  /** Rejects with ADDRESS. */
  static async open({ frameBytes, ...options }: ReceptionOptions): Promise<Reception> {
    let reception: Reception | undefined;
    const current = (): ServedRun | undefined =>
      reception === undefined ? undefined : reception.#run;
    const served = (): Reception => {
      assert(reception !== undefined, 'no worker connects before there is a run');
      return reception;
    };
    const server = await listen(
      {
        ...options,
        maxFrameBytes: frameBytes,
        description: () => current()?.description,
        get dataset() {
          const dataset = current()?.dataset;
          assert(dataset !== undefined, 'a run that is described has a dataset');
          return dataset;
        },
        // Shared memory is used in both directions or not at all.
        openMemory: (address) => current()?.openMemory(address),
        get channels() {
          return current()?.channels;
        },
      },
      {
        connected: (peer) => served().#connected(peer),
        message: (peer, message, tensor) => current()?.events.message(peer, message, tensor),
        control: (peer) => served().#control(peer),
        disconnected: (peer, reason, cause) => current()?.events.disconnected(peer, reason, cause),
      },
    );
    reception = new Reception(server, frameBytes);
    return reception;
  }

  get port(): number {
    return this.#server.port;
  }

  /** The number of requests without a valid proof of the token. */
  get unauthorized(): number {
    return this.#server.unauthorized;
  }

  /** Lets workers join a run, first of all those that are connected. */
  begin(run: ServedRun): void {
    assert(this.#run === undefined, 'one run follows another');
    this.#run = run;
    this.#budgets.clear();
    const next = { run: run.description.run, term: run.term };
    for (const connection of this.#server.connections.values()) {
      run.events.connected(connection);
      connection.follow(next, run.channels);
    }
  }

  /**
   * The run is over; workers stay connected. `unanswered` is the number of results that a slot was
   * asked for and has not sent.
   */
  end(unanswered: (slot: number) => number): void {
    this.#run = undefined;
    for (const [slot, connection] of this.#server.connections) connection.hold(unanswered(slot));
  }

  /** Closes all connections that are open, for this reason or because all runs have finished. */
  async close(code?: ErrorCode, message = 'all runs have finished'): Promise<void> {
    this.#beating();
    for (const connection of Array.from(this.#server.connections.values()))
      connection.close(code, message);
    await this.#server.close();
  }

  #connected(peer: Peer): void {
    if (this.#run === undefined) return peer.close('TIMEOUT', 'there is no run at the moment');
    this.#run.events.connected(peer);
  }

  #control(peer: Peer): void {
    if (this.#run !== undefined) return this.#run.events.control(peer);
    const now = systemClock.now();
    const before = this.#budgets.get(peer.slot) ?? fullBudget(SMALL_MESSAGES, now);
    const budget = spendOne(before, SMALL_MESSAGES, now);
    if (budget !== undefined) return void this.#budgets.set(peer.slot, budget);
    peer.close('LIMIT', 'this worker sent too many messages between two runs');
  }

  /** A run sends heartbeats itself. */
  #beat(): void {
    if (this.#run !== undefined) return;
    for (const connection of this.#server.connections.values()) connection.beat();
  }
}
