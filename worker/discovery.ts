import { randomInt } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { pause } from '../shared/pause.ts';
import {
  DISCOVERY_MILLISECONDS,
  MAX_ANNOUNCEMENTS,
  MAX_DISCOVERY_DATAGRAMS,
  QUESTION_INTERVAL_MILLISECONDS,
} from '../shared/wire/announcement-limits.ts';
import {
  encodeQuestion,
  MDNS_ADDRESS,
  MDNS_PORT,
  parseAnswer,
  type Announcement,
} from '../shared/wire/announcement.ts';
import { ownNetworks, type OwnNetwork } from '../shared/wire/own-networks.ts';

/** A set of at most MAX_ANNOUNCEMENTS announcements. */
export class Announcements {
  readonly #found = new Map<string, Announcement>();

  add(announcement: Announcement): void {
    if (this.#found.size < MAX_ANNOUNCEMENTS)
      this.#found.set(JSON.stringify(announcement), announcement);
  }

  get all(): Announcement[] {
    return [...this.#found.values()];
  }
}

/**
 * Asks for coordinators on all of this machine's networks and returns their announcements, which
 * are not authenticated. Rejects with the signal's reason if the signal is aborted.
 */
export async function discover(
  signal: AbortSignal,
  networks: () => OwnNetwork[] = ownNetworks,
): Promise<Announcement[]> {
  const number = randomInt(1, 0x1_0000);
  const found = new Announcements();
  const sockets = visible(networks).map((network) => ask(network, number, found));
  try {
    await pause(DISCOVERY_MILLISECONDS, signal);
    return found.all;
  } finally {
    for (const close of sockets) close();
  }
}

/** The networks; none if a sandbox does not let this process list them. */
function visible(networks: () => OwnNetwork[]): OwnNetwork[] {
  try {
    return networks();
  } catch {
    return [];
  }
}

/** Asks repeatedly on one network; returns a function that stops the questions. */
function ask(network: OwnNetwork, number: number, found: Announcements): () => void {
  const socket = createSocket('udp4');
  let datagrams = 0;
  let timer: NodeJS.Timeout | undefined;
  let isOpen = true;
  const close = (): void => {
    clearInterval(timer);
    if (isOpen) socket.close();
    isOpen = false;
  };
  socket.on('message', (datagram, { address }) => {
    datagrams += 1;
    if (datagrams > MAX_DISCOVERY_DATAGRAMS) return close();
    // A datagram from outside this network cannot be an announcement on it (RFC 6762, section 11).
    if (!network.has(address)) return;
    const announcement = parseAnswer(datagram, number, address);
    if (announcement !== undefined) found.add(announcement);
  });
  // A network without multicast has no announcements.
  socket.on('error', close);
  const question = (): void => {
    try {
      send(socket, network, number);
    } catch {
      // This machine is no longer connected to the network, or has a different address there.
      close();
    }
  };
  socket.bind(0, network.address, () => {
    if (!isOpen) return;
    timer = setInterval(question, QUESTION_INTERVAL_MILLISECONDS);
    question();
  });
  return close;
}

function send(socket: Socket, { address }: OwnNetwork, number: number): void {
  socket.setMulticastInterface(address);
  socket.send(encodeQuestion(number), MDNS_PORT, MDNS_ADDRESS, () => undefined);
}
