import { MAX_REQUESTS, MAX_REQUESTS_PER_ADDRESS } from '../../shared/limits.ts';

interface RequestSocket {
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/**
 * The connections on which token holders request the run's description or its dataset. Their number
 * is limited in total and for each address. Workers' connections have places of their own, so that
 * slow downloads do not keep workers out.
 */
export class RequestPlaces {
  /** By address, the oldest connection first. */
  readonly #taken = new Map<string, Set<RequestSocket>>();
  readonly #displaced: (address: string) => void;
  #count = 0;

  /** `displaced` is called for each connection that is closed to make room for another one. */
  constructor(displaced: (address: string) => void) {
    this.#displaced = displaced;
  }

  /**
   * Takes a place until the connection closes; returns false if there is none. If all places are
   * taken, the address with the most connections loses its oldest one to an address with fewer.
   */
  take(address: string, socket: RequestSocket): boolean {
    const own = this.#taken.get(address) ?? new Set();
    if (own.has(socket)) return true;
    if (own.size >= MAX_REQUESTS_PER_ADDRESS) return false;
    if (this.#count >= MAX_REQUESTS && !this.#makeRoom(own.size)) return false;
    this.#taken.set(address, own.add(socket));
    this.#count += 1;
    socket.once('close', () => this.#release(address, socket));
    return true;
  }

  #makeRoom(own: number): boolean {
    let most: [address: string, sockets: ReadonlySet<RequestSocket>] | undefined;
    for (const entry of this.#taken)
      if (most === undefined || entry[1].size > most[1].size) most = entry;
    const [oldest] = most?.[1] ?? [];
    if (most === undefined || oldest === undefined || most[1].size <= own + 1) return false;
    this.#release(most[0], oldest);
    oldest.destroy();
    this.#displaced(most[0]);
    return true;
  }

  #release(address: string, socket: RequestSocket): void {
    const sockets = this.#taken.get(address);
    if (sockets?.delete(socket) !== true) return;
    this.#count -= 1;
    if (sockets.size === 0) this.#taken.delete(address);
  }
}
