import { once } from 'node:events';
import { get } from 'node:http';
import { connect, createServer, Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { connect as secure } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  createBoundedServer,
  type ServerTls,
} from '../../../../coordinator/network/http-server.ts';
import { Newcomers, type NewcomerEnd } from '../../../../coordinator/network/newcomers.ts';
import { arrivals } from '../../../../shared/arrivals.ts';
import type { MemoryAddon } from '../../../../shared/wire/memory-addon.ts';
import { Rendezvous } from '../../../../shared/wire/rendezvous.ts';
import { PeerMemory, SharedMemory } from '../../../../shared/wire/shared-memory.ts';
import { compiledMemoryAddon } from '../../../fixtures/engine/memory-addon.ts';
import { TestAuthority } from '../../../fixtures/certificates.ts';
import { listening } from '../../../fixtures/listening.ts';

const PLACES = 3;
const LOCAL = '127.0.0.1';
const CROWD = 40;
const BYTES = 100;
/** Longer than any newcomer waits in a test. */
const LONG_MILLISECONDS = 600_000;

/** A listener with three places, which admits a connection that requests /in. */
async function startListener(milliseconds = LONG_MILLISECONDS, tls?: ServerTls, host = LOCAL) {
  const ends: NewcomerEnd[] = [];
  const http = createBoundedServer(1000, tls);
  const newcomers = new Newcomers(http, { max: PLACES, milliseconds }, (_, end) => ends.push(end));
  http.on('request', (request, response) => {
    if (request.url === '/in') newcomers.release(request.socket);
    if (request.url === '/out-again') newcomers.readmit(request.socket);
    response.end();
  });
  return { http, port: await listening(http, host), ends };
}

/** A connection that sends nothing, and whether it has been closed. */
async function idle(
  port: number,
): Promise<{ socket: Socket; isGone: () => boolean; gone: Promise<void> }> {
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  let isGone = false;
  const gone = new Promise<void>((resolve) => {
    socket.once('close', () => {
      isGone = true;
      resolve();
    });
  });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  return { socket, isGone: () => isGone, gone };
}

/** A port that was just free. */
async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function ask(port: number, path: string): Promise<number | undefined> {
  const [response] = await once(get({ port, path, agent: false }), 'response');
  response.resume();
  return response.statusCode;
}

/** A listener next to a rendezvous with one peer; counts how often the rendezvous waits. */
async function startBesideRendezvous() {
  const { addon } = await compiledMemoryAddon(onTestFinished);
  const [own, other] = [new SharedMemory(BYTES, addon), new SharedMemory(BYTES, addon)];
  const peer = new PeerMemory(other.address, BYTES, addon);
  if (own.mapped === undefined || peer.mapped === undefined) throw new Error('not mapped');
  const ignored = { hear: () => undefined, failed: () => undefined, ring: () => undefined };
  const seen = { waits: 0 };
  const counting: MemoryAddon = {
    ...addon,
    wait: (...values) => {
      seen.waits += 1;
      return addon.wait(...values);
    },
  };
  const rendezvous = new Rendezvous(counting, own.mapped);
  rendezvous.join(peer.mapped, { slot: 1, readsAs: 1, from: 1 }, ignored);
  onTestFinished(() => {
    rendezvous.close();
    for (const memory of [peer, own, other]) memory.close();
  });
  return { seen, rendezvous, ...(await startListener()) };
}

describe('connections that have not been admitted', () => {
  it.skipIf(process.platform !== 'linux')(
    'do not queue behind waits for frames in shared memory',
    async () => {
      const { seen, rendezvous, http, port } = await startBesideRendezvous();
      let accepted = 0;
      http.on('connection', () => (accepted += 1));
      /** Until it waits: on a busy machine, a turn may begin when no frame is due any more. */
      const untilWaits = async () => {
        const before = seen.waits;
        while (seen.waits === before) {
          rendezvous.expect();
          await turn();
        }
      };
      await untilWaits();
      // The system establishes them all before this process accepts the first one.
      const crowd = Array.from({ length: CROWD }, () => connect(port, LOCAL));
      for (const socket of crowd) socket.on('error', () => undefined);
      onTestFinished(() => crowd.forEach((socket) => socket.destroy()));
      seen.waits = 0;
      while (accepted < CROWD) {
        rendezvous.expect();
        await turn();
      }
      expect(seen.waits).toBeLessThan(CROWD / 2);
      await untilWaits();
    },
  );

  it('are counted as arrivals, even over the limit of the server', async () => {
    const { http, port } = await startListener();
    http.maxConnections = 1;
    const before = arrivals();
    await idle(port);
    const dropped = await idle(port);
    await dropped.gone;
    expect(arrivals() - before).toBe(2);
  });

  it('have a limit of their own, and the oldest gives way', async () => {
    const { port, ends } = await startListener();
    const crowd = [];
    for (let i = 0; i < PLACES + 2; i++) crowd.push(await idle(port));
    await Promise.all(crowd.slice(0, 2).map(({ gone }) => gone));
    expect(crowd.map(({ isGone }) => isGone())).toEqual([true, true, false, false, false]);
    expect(ends).toEqual(['crowded', 'crowded']);
  });

  it('count also if one port of the peer is connected to several addresses', async () => {
    const { port, ends } = await startListener(LONG_MILLISECONDS, undefined, '0.0.0.0');
    const from = await freePort();
    const gone = [];
    for (let i = 1; i <= PLACES + 2; i++) {
      const socket = connect({ port, host: `127.0.0.${i}`, localPort: from, localAddress: LOCAL });
      socket.on('error', () => undefined);
      onTestFinished(() => void socket.destroy());
      gone.push(new Promise((resolve) => socket.once('close', resolve)));
      await once(socket, 'connect');
    }
    await Promise.all(gone.slice(0, 2));
    expect(ends).toEqual(['crowded', 'crowded']);
  });

  it('include admitted ones that are idle again', async () => {
    const { port, ends } = await startListener();
    const served = await idle(port);
    served.socket.write('GET /in HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(served.socket, 'data');
    for (let i = 0; i < PLACES + 1; i++) await idle(port);
    expect(served.isGone()).toBe(false);
    served.socket.write('GET /out-again HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(served.socket, 'data');
    for (let i = 0; i < PLACES; i++) await idle(port);
    await served.gone;
    expect(ends.length).toBeGreaterThan(1);
  });

  it('are closed unread if the peer has reset them before they were accepted', async () => {
    const { http } = await startListener();
    // A socket without a connection has no address, and neither has one that was reset.
    const socket = new Socket();
    http.emit('connection', socket);
    expect(socket.destroyed).toBe(true);
    expect(socket.listenerCount('data')).toBe(0);
  });

  it('do not keep out other connections or cut off admitted ones', async () => {
    const { port } = await startListener();
    const admitted = await idle(port);
    admitted.socket.write('GET /in HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(admitted.socket, 'data');
    // This client dials again whenever its connection is closed.
    let dials = 0;
    const redial = async (): Promise<void> => {
      while (dials < 200) {
        dials += 1;
        const { gone } = await idle(port);
        await gone;
      }
    };
    const flood = Promise.all(Array.from({ length: 3 * PLACES }, redial));
    for (let i = 0; i < 20; i++) expect(await ask(port, '/in')).toBe(200);
    // These connections replace the ones that are still waiting.
    for (let i = 0; i < 2 * PLACES; i++) void idle(port);
    while (dials < 200) await new Promise((resolve) => setImmediate(resolve));
    expect(admitted.isGone()).toBe(false);
    void flood;
  });

  it('are closed when their time is up', async () => {
    const { port, ends } = await startListener(20);
    const silent = await idle(port);
    const slow = await idle(port);
    slow.socket.write('GET /in HTTP/1.1\r\n');
    const unadmitted = await idle(port);
    unadmitted.socket.write('GET /out HTTP/1.1\r\nHost: x\r\n\r\n');
    await Promise.all([silent.gone, slow.gone, unadmitted.gone]);
    expect(ends).toEqual(['late', 'late', 'late']);
  });

  it('count as unproven, not as failed handshakes, if they do not send HTTP over TLS', async () => {
    const authority = await TestAuthority.make();
    const { port, ends } = await startListener(LONG_MILLISECONDS, await authority.server());
    const socket = secure({ host: '127.0.0.1', port, ca: authority.pair.certificate });
    socket.write('SSH-2.0-OpenSSH_9.2\r\n');
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 400 /);
    await once(socket, 'close');
    while (ends.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(ends).toEqual(['unproven']);
  });

  it('count toward the limit during the handshake, and are reported if it fails', async () => {
    const authority = await TestAuthority.make();
    const { port, ends } = await startListener(LONG_MILLISECONDS, await authority.server());
    const first = await idle(port);
    for (let i = 0; i < PLACES; i++) await idle(port);
    await first.gone;
    expect(ends).toEqual(['crowded']);
    // This client does not trust the certificate.
    const doubter = secure({ host: '127.0.0.1', port });
    await new Promise((resolve) => doubter.once('error', resolve));
    while (!ends.includes('handshake')) await new Promise((resolve) => setImmediate(resolve));
  });
});
