import type { IncomingMessage } from 'node:http';
import { Server as SecureServer } from 'node:https';
import { Socket } from 'node:net';
import { countArrival } from '../../shared/arrivals.ts';
import { NEWCOMER_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { newcomerPlaces } from '../../shared/open-files.ts';
import { isMalformedRequest, type BoundedServer } from './http-server.ts';

/** Why a connection ended before it was admitted. */
export type NewcomerEnd =
  /** It was closed to make room for newer connections. */
  | 'crowded'
  /** It did not prove the token in time. */
  | 'late'
  /** It closed after a request without a proof. */
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

/** This process's limits. */
export function newcomerLimits(): NewcomerLimits {
  return { max: newcomerPlaces(), milliseconds: NEWCOMER_LIMIT_MILLISECONDS };
}

interface Newcomer {
  /** The TCP socket, even under TLS: only a TCP socket can be reset. */
  readonly socket: Socket;
  readonly address: string;
  readonly since: number;
  hasAsked: boolean;
}

/**
 * A listener's connections that have not been admitted yet, including TLS handshakes. Their number
 * is limited, and so is the time that each may take. A new connection over the limit closes the
 * oldest one, so that unauthenticated peers cannot keep workers out.
 */
export class Newcomers {
  /** All open connections; a key is both ends' addresses and ports. */
  readonly #open = new Map<string, Newcomer>();
  /** Those that have not been admitted, the oldest first. */
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
    // Node accepts even connections that their peers have already reset. Such connections are
    // closed before HTTP and TLS spend time on them, so that a storm of resets does not delay peers
    // with the token.
    const takers = http.listeners('connection');
    http.removeAllListeners('connection').on('connection', (socket: Socket) => {
      countArrival();
      if (socket.remoteAddress === undefined) return void socket.destroy();
      for (const take of takers) Reflect.apply(take, http, [socket]);
      this.#add(socket, socket.remoteAddress);
    });
    // A connection over the server's own limit.
    http.on('drop', countArrival);
    http.on('request', ({ socket }: IncomingMessage) => this.#asked(socket));
    // Runs before the socket is destroyed, because it has no address afterwards.
    http.prependListener('clientError', (error, socket) => {
      if (isMalformedRequest(error) && socket instanceof Socket) this.#asked(socket);
    });
    // Received data is read first, so that no peer counts as late because this process was busy or
    // suspended.
    const timer = setInterval(
      () => setImmediate(() => this.#sweep()),
      limits.milliseconds / 4,
    ).unref();
    http.once('close', () => clearInterval(timer));
  }

  /** Stops limiting a connection that the caller has admitted or refused. */
  release(socket: Socket): void {
    this.#waiting.delete(keyOf(socket));
  }

  /** Limits a connection again that was released, as if it had just been opened. */
  readmit(socket: Socket): void {
    const key = keyOf(socket);
    const known = this.#open.get(key);
    if (known !== undefined) this.#wait(key, { ...known, since: performance.now() });
  }

  /** Stops reporting connections that end, because the listener is closing. */
  forget(): void {
    this.#waiting.clear();
  }

  #add(socket: Socket, address: string): void {
    const key = keyOf(socket);
    const newcomer = {
      socket,
      address,
      since: performance.now(),
      hasAsked: false,
    };
    this.#open.set(key, newcomer);
    socket.once('close', () => this.#gone(key, socket));
    this.#wait(key, newcomer);
  }

  #wait(key: string, newcomer: Newcomer): void {
    this.#waiting.delete(key);
    this.#waiting.set(key, newcomer);
    const [oldest] = this.#waiting;
    if (oldest !== undefined && this.#waiting.size > this.#limits.max)
      this.#cut(...oldest, 'crowded');
  }

  #asked(socket: Socket): void {
    const newcomer = this.#waiting.get(keyOf(socket));
    if (newcomer !== undefined) newcomer.hasAsked = true;
  }

  #gone(key: string, socket: Socket): void {
    // A different connection may have the same addresses and ports by now.
    if (this.#open.get(key)?.socket === socket) this.#open.delete(key);
    const newcomer = this.#waiting.get(key);
    if (newcomer?.socket !== socket) return;
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

  /** Resets the connection: an orderly close would occupy its port for a minute. */
  #cut(key: string, newcomer: Newcomer, end: NewcomerEnd): void {
    this.#waiting.delete(key);
    newcomer.socket.resetAndDestroy();
    this.#ended(newcomer.address, end);
  }
}

/** The peer's address, also if the peer of an open connection has already reset it. */
export function addressOf(socket: Socket): string {
  return tcpOf(socket).remoteAddress ?? 'unknown';
}

/** The same for a TCP socket and for the TLS socket on it. */
function keyOf(socket: Socket): string {
  const { remoteAddress, remotePort, localAddress, localPort } = tcpOf(socket);
  return [remoteAddress, remotePort, localAddress, localPort].join(' ');
}

/**
 * The TCP socket of a TLS socket, which remembers its addresses when they have been read once. A
 * TLS socket has none after a reset.
 */
function tcpOf(socket: Socket): Socket {
  const parent: unknown = Reflect.get(socket, '_parent');
  return parent instanceof Socket ? parent : socket;
}
