import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, get as getSecure } from 'node:https';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as secure } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  createBoundedServer,
  type ServerTls,
} from '../../../../coordinator/network/http-server.ts';
import { MAX_REQUEST_HEADER_BYTES, MAX_REQUEST_PIECES } from '../../../../shared/limits.ts';
import { TestAuthority } from '../../../fixtures/certificates.ts';
import { listening } from '../../../fixtures/listening.ts';

const LOCAL = '127.0.0.1';
const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
/** Together as large as the largest read. */
const BURST = 2000;
const CROWD = 10;
const MANY = 100;

/** A listener that answers each request at once, and counts them. */
async function startListener(tls?: ServerTls) {
  const http = createBoundedServer(1000, tls);
  const seen = { requests: 0, connections: 0 };
  http.on(tls === undefined ? 'connection' : 'secureConnection', () => (seen.connections += 1));
  http.on('request', (_, response) => {
    seen.requests += 1;
    response.end('hello');
  });
  return { http, seen, port: await listening(http) };
}

/** Everything that a server sends until it closes the connection. */
async function said(socket: Socket): Promise<string> {
  onTestFinished(() => void socket.destroy());
  const parts: Buffer[] = [];
  socket.on('error', () => undefined).on('data', (part: Buffer) => parts.push(part));
  await new Promise((resolve) => socket.once('close', resolve));
  return Buffer.concat(parts).toString('latin1');
}

async function ask(port: number, agent: Agent): Promise<number | undefined> {
  const request = agent instanceof SecureAgent ? getSecure : get;
  const asked = request({ port, host: LOCAL, agent });
  const [response]: IncomingMessage[] = await once(asked, 'response');
  if (response === undefined) throw new Error('no response');
  response.resume();
  await once(response, 'end');
  return response.statusCode;
}

describe('a connection', () => {
  it.each(['in one write', 'in a TLS record', 'in one TLS record each'])(
    'that sends many requests %s gets no more than one answer',
    async (how) => {
      const authority = how === 'in one write' ? undefined : await TestAuthority.make();
      const { seen, port } = await startListener(await authority?.server());
      const bursts = Array.from({ length: CROWD }, async () => {
        const ca = authority?.pair.certificate;
        const socket =
          ca === undefined ? connect(port, LOCAL) : secure({ host: LOCAL, port, ca }, send);
        if (ca === undefined) send();
        function send(): void {
          if (how !== 'in one TLS record each') return void socket.write(REQUEST.repeat(BURST));
          for (let i = 0; i < BURST; i++) socket.write(REQUEST);
        }
        return await said(socket);
      });
      for (const text of await Promise.all(bursts))
        expect(text.split('HTTP/1.1 ').length).toBeLessThanOrEqual(2);
      expect(seen).toEqual({ requests: CROWD, connections: CROWD });
    },
  );

  it.each(['http', 'https'])(
    'that waits for each answer may send many %s requests',
    async (way) => {
      const authority = way === 'http' ? undefined : await TestAuthority.make();
      const { seen, port } = await startListener(await authority?.server());
      const settings = { keepAlive: true, maxSockets: 1 };
      const agent =
        authority === undefined
          ? new Agent(settings)
          : new SecureAgent({ ...settings, ca: authority.pair.certificate });
      onTestFinished(() => agent.destroy());
      for (let i = 0; i < MANY; i++) expect(await ask(port, agent)).toBe(200);
      expect(seen).toEqual({ requests: MANY, connections: 1 });
    },
  );

  it('that sends a request while another one waits for its answer is closed', async () => {
    const http = createBoundedServer(1000);
    let requests = 0;
    const asked = new Promise<void>((resolve) =>
      http.on('request', () => {
        requests += 1;
        resolve();
      }),
    );
    const socket = connect(await listening(http), LOCAL);
    socket.write(REQUEST);
    await asked;
    socket.write(REQUEST);
    expect(await said(socket)).toBe('');
    expect(requests).toBe(1);
  });

  it('that sends a body after the answer to its head is closed', async () => {
    const { seen, port } = await startListener();
    const socket = connect(port, LOCAL);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n');
    await once(socket, 'data');
    socket.write(REQUEST.repeat(BURST));
    await said(socket);
    expect(seen.requests).toBe(1);
  });

  it('may send its head in pieces, but neither in too many nor too large a one', async () => {
    const { seen, port } = await startListener();
    const patient = connect(port, LOCAL).setNoDelay();
    onTestFinished(() => void patient.destroy());
    for (const byte of `\r\n${REQUEST}`.match(/[^]/g) ?? []) {
      patient.write(byte);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(String(await once(patient, 'data'))).toMatch(/^HTTP\/1\.1 200 /);
    expect(seen.requests).toBe(1);

    const large = connect(port, LOCAL);
    large.write(`GET / HTTP/1.1\r\n${'a:\r\n'.repeat(MAX_REQUEST_HEADER_BYTES / 4)}`);
    expect(await said(large)).toMatch(/^HTTP\/1\.1 431 /);

    const authority = await TestAuthority.make();
    const tls = await startListener(await authority.server());
    const { certificate: ca } = authority.pair;
    const slow = secure({ host: LOCAL, port: tls.port, ca }, () => {
      for (let i = 0; i <= MAX_REQUEST_PIECES; i++) slow.write('G');
    });
    expect(await said(slow)).toMatch(/^HTTP\/1\.1 4(00|31) /);
    expect(tls.seen.requests).toBe(0);
  });

  it('that upgrades is read by its new owner alone, from the first byte on', async () => {
    const http = createBoundedServer(1000);
    const read = new Promise<string>((resolve) =>
      http.on('upgrade', (_request: IncomingMessage, socket: Duplex, head: Buffer) => {
        expect(socket.listenerCount('data')).toBe(0);
        let text = head.toString();
        socket.on('data', (bytes: Buffer) => {
          text += bytes.toString();
          if (text.length >= 2 * REQUEST.length) resolve(text);
        });
      }),
    );
    const socket = connect(await listening(http), LOCAL).setNoDelay();
    onTestFinished(() => void socket.destroy());
    const upgrade = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n';
    socket.write(upgrade + REQUEST, () => setImmediate(() => socket.write(REQUEST)));
    expect(await read).toBe(REQUEST.repeat(2));
  });
});
