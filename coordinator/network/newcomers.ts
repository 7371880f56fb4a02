import type { IncomingMessage } from 'node:http';
import { Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { NEWCOMER_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { newcomerPlaces } from '../../shared/open-files.ts';
import type { BoundedServer } from './http-server.ts';

/** Why a connection ended before it was admitted. */
export type NewcomerEnd =
  /** Newer ones needed its place. */
  | 'crowded'
  /** Its time was over. */
  | 'late'
  /** It closed after a request that nothing admitted. */
  | 'unproven'
  /**
   * It closed in the TLS handshake or after it, before any request: often a peer that does not
   * trust the certificate.
   */
  | 'handshake';

export interface NewcomerLimits {
  readonly max: number;
  readonly milliseconds: number;
}

/** Those of this process. */
export function newcomerLimits(): NewcomerLimits {
  return { max: newcomerPlaces(), milliseconds: NEWCOMER_LIMIT_MILLISECONDS };
}

interface Newcomer {
  /** Without TLS, also where the listener speaks it: only that one can be reset. */
  readonly socket: Socket;
  readonly address: string;
  readonly since: number;
  hasAsked: boolean;
}

/**
 * The connections of a listener that nothing has admitted yet, TLS handshakes among them. They have
 * places and time of their own: where all places are taken the oldest is cut off, so that strangers
 * keep neither each other nor workers out.
 */
export class Newcomers {
  /** By the peer's address and port, the oldest first. */
  readonly #waiting = new Map<string, Newcomer>();
  readonly #limits: NewcomerLimits;
  readonly #ended: (address: string, end: NewcomerEnd) => void;
  readonly #isSecure: boolean;

  constructor(
    http: BoundedServer,
    limits: NewcomerLimits,
    ended: (address: string, end: NewcomerEnd) => void = () => undefined,
  ) {
    this.#limits = limits;
    this.#ended = ended;
    this.#isSecure = http instanceof SecureServer;
    http.on('connection', (socket: Socket) => this.#add(socket));
    http.on('request', ({ socket }: IncomingMessage) => {
      const newcomer = this.#waiting.get(keyOf(socket));
      if (newcomer !== undefined) newcomer.hasAsked = true;
    });
    // After what has arrived was read: a process that was busy or suspended blames no peer for it.
    const timer = setInterval(
      () => setImmediate(() => this.#sweep()),
      limits.milliseconds / 4,
    ).unref();
    http.once('close', () => clearInterval(timer));
  }

  /** Admits or refuses a connection: from now on the caller bounds it. */
  release(socket: Socket): void {
    this.#waiting.delete(keyOf(socket));
  }

  /** No peer is to blame for a connection that ends from now on: the listener closes. */
  forget(): void {
    this.#waiting.clear();
  }

  #add(socket: Socket): void {
    const key = keyOf(socket);
    const newcomer = {
      socket,
      address: socket.remoteAddress ?? 'unknown',
      since: performance.now(),
      hasAsked: false,
    };
    this.#waiting.set(key, newcomer);
    socket.once('close', () => this.#gone(key, newcomer));
    const [oldest] = this.#waiting;
    if (oldest !== undefined && this.#waiting.size > this.#limits.max)
      this.#cut(...oldest, 'crowded');
  }

  #gone(key: string, newcomer: Newcomer): void {
    // Its port may belong to another connection by now.
    if (this.#waiting.get(key) !== newcomer) return;
    this.#waiting.delete(key);
    if (newcomer.hasAsked) this.#ended(newcomer.address, 'unproven');
    else if (this.#isSecure && newcomer.socket.bytesRead > 0)
      this.#ended(newcomer.address, 'handshake');
  }

  #sweep(): void {
    const before = performance.now() - this.#limits.milliseconds;
    for (const [key, newcomer] of this.#waiting) {
      if (newcomer.since > before) return;
      this.#cut(key, newcomer, 'late');
    }
  }

  /** By a reset: after an orderly close the port of each would be occupied for a minute. */
  #cut(key: string, newcomer: Newcomer, end: NewcomerEnd): void {
    this.#waiting.delete(key);
    newcomer.socket.resetAndDestroy();
    this.#ended(newcomer.address, end);
  }
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? ''}`;
}
