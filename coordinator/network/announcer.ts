import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { ANSWERS_PER_SECOND } from '../../shared/wire/announcement-limits.ts';
import { isLoopback, isWildcard } from '../../shared/wire/address.ts';
import {
  encodeAnswer,
  numberOfQuestion,
  mayBeQuestion,
  MDNS_ADDRESS,
  MDNS_PORT,
  type Announcement,
} from '../../shared/wire/announcement.ts';
import { ownNetworks, type OwnNetwork } from '../../shared/wire/own-networks.ts';

export interface Announcer {
  /** This machine's addresses on the networks where the coordinator is announced. */
  readonly addresses: readonly string[];
  close(): void;
}

/** The networks from which a listener on `host` can be reached. */
export function networksOf(host: string, networks: readonly OwnNetwork[]): OwnNetwork[] {
  if (isLoopback(host)) return networks.filter((network) => network.isLoopback);
  const named = networks.filter(({ address }) => address === host);
  if (named.length > 0 && !isWildcard(host)) return named;
  return networks.filter((network) => !network.isLoopback);
}

/**
 * Answers workers' questions on the networks of `host` with the announcement for each network.
 * Rejects with the system's error, or with LIMIT if the announcement is too long.
 */
export async function startAnnouncer(
  host: string,
  announcementIn: (network: OwnNetwork) => Announcement,
): Promise<Announcer> {
  const networks = networksOf(host, ownNetworks());
  for (const network of networks) encodeAnswer(announcementIn(network), 0);
  // Other programs, and other coordinators on this machine, answer on the same port.
  const socket = createSocket({ type: 'udp4', reuseAddr: true });
  socket.on('message', answering(socket, networks, announcementIn));
  const bound = once(socket, 'listening');
  socket.bind(MDNS_PORT);
  await bound;
  socket.on('error', () => undefined);
  const addresses = networks.map(({ address }) => address).filter((address) => join(address));
  return { addresses, close: () => socket.close() };

  /**
   * Whether multicasts on this address's network will arrive. A second address on the same network
   * cannot join again.
   */
  function join(address: string): boolean {
    try {
      socket.addMembership(MDNS_ADDRESS, address);
      return true;
    } catch {
      return false;
    }
  }
}

/** A listener that answers questions. No datagram from any source makes it throw. */
export function answering(
  socket: Pick<Socket, 'send'>,
  networks: readonly OwnNetwork[],
  announcementIn: (network: OwnNetwork) => Announcement,
): (datagram: Buffer, source: { readonly address: string; readonly port: number }) => void {
  const limit = new AnswerLimit();
  return (datagram, { address, port }) => {
    const network = networks.find((each) => each.has(address));
    if (network === undefined || !mayBeQuestion(datagram)) return;
    if (!limit.admits(performance.now())) return;
    const question = numberOfQuestion(datagram);
    if (question === undefined) return;
    try {
      // A lost answer is not an error, since the worker asks again.
      socket.send(encodeAnswer(announcementIn(network), question), port, address, () => undefined);
    } catch {
      // Nothing can be sent to the source, for example because its port is 0.
    }
  };
}

/** Limits how many questions are read per second. */
export class AnswerLimit {
  #since = -Infinity;
  #left = 0;

  admits(now: number): boolean {
    if (now - this.#since >= 1000) {
      this.#since = now;
      this.#left = ANSWERS_PER_SECOND;
    }
    if (this.#left === 0) return false;
    this.#left -= 1;
    return true;
  }
}
