import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get as secure } from 'node:https';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunView, Update } from '../../../../dashboards/feed/api.ts';
import { Listener } from '../../../../dashboards/server/listener.ts';
import type { Source } from '../../../../dashboards/feed/source.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import {
  MAX_NEWCOMERS,
  MAX_PAGE_ANSWER_BYTES,
  MAX_PAGE_QUEUE_BYTES,
  MAX_PAGES,
  PAGE_WEIGHTS_MILLISECONDS,
} from '../../../../shared/limits.ts';
import { TestAuthority } from '../../../fixtures/certificates.ts';
import { ask, follow } from '../../../fixtures/page-client.ts';
import { sampleView } from './run-view.ts';

type Stage = { -readonly [K in keyof Source]: Source[K] } & {
  shown: RunView | undefined;
  updates: Update[];
  weightCopies: number;
};

function stage(): Stage {
  const source: Stage = {
    shown: sampleView,
    updates: [],
    weightCopies: 0,
    get isOpen() {
      return source.shown !== undefined;
    },
    problem: undefined,
    directory: undefined,
    view: () => source.shown,
    turn: () => source.updates.shift(),
    weights: () => {
      source.weightCopies += 1;
      return { step: 7, weights: Float32Array.of(1, -2) };
    },
    scrape: () => Promise.resolve({ type: 'text/plain; version=0.0.4', text: 'm 1\n' }),
  };
  return source;
}

/** Any free port on this machine. If the listener reports a bug, the test fails. */
const place = {
  host: '127.0.0.1',
  port: 0,
  isPortFree: false,
  onDefect: (error: unknown) => {
    throw error;
  },
};

async function open(source: Source, host = '127.0.0.1', port = 0): Promise<Listener> {
  const listener = await Listener.open({ ...place, host, port, source });
  onTestFinished(() => listener.close(0));
  return listener;
}

describe('the observation listener', () => {
  it('answers only probes without its token', async () => {
    const token = 'a-token-of-the-tests-0123456789';
    const source = stage();
    const { port } = await Listener.open({ ...place, source, token });
    const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;
    const answers = async (authorization: string | undefined) => {
      const headers = authorization === undefined ? {} : { authorization };
      const requests = [
        '/',
        '/metrics',
        '/api/run',
        '/api/weights',
        '/healthz',
        '/readyz',
        '/nothing',
      ].map(async (path) => (await ask(port, path, { headers })).status);
      return await Promise.all(requests);
    };
    for (const wrong of [
      undefined,
      token,
      'Bearer',
      'Bearer x',
      `Bearer ${token}x`,
      `Basic ${token}`,
      basic(token),
      basic(`${token}:`),
      basic(`x:${token.slice(1)}`),
    ])
      expect(await answers(wrong), wrong).toEqual([401, 401, 401, 401, 200, 200, 401]);
    expect(source.weightCopies).toBe(0);
    for (const right of [`Bearer ${token}`, basic(`anybody:${token}`), basic(`:${token}`)])
      expect(await answers(right), right).toEqual([200, 200, 200, 200, 200, 200, 404]);
    // A browser then asks for a name and a password.
    expect((await ask(port, '/')).headers['www-authenticate']).toMatch(/^Basic /);
  });

  it('speaks only TLS if it has a certificate', async () => {
    const authority = await TestAuthority.make();
    const tls = await authority.server();
    const listener = await Listener.open({ ...place, source: stage(), tls });
    onTestFinished(() => listener.close(0));
    expect(listener.url).toBe(`https://127.0.0.1:${listener.port}/`);
    const request = secure({
      host: '127.0.0.1',
      port: listener.port,
      path: '/metrics',
      ca: authority.pair.certificate,
    });
    const [response]: IncomingMessage[] = await once(request, 'response');
    expect(response?.statusCode).toBe(200);
    response?.resume();
    await expect(ask(listener.port, '/metrics')).rejects.toThrow('socket hang up');
  });

  it('answers its own paths, and no others', async () => {
    const { port } = await open(stage());
    expect(await ask(port, '/healthz')).toMatchObject({ status: 200 });
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 });
    expect((await ask(port, '/metrics')).body.toString()).toBe('m 1\n');
    expect(JSON.parse((await ask(port, '/api/run')).body.toString())).toEqual(
      JSON.parse(JSON.stringify(sampleView)),
    );
    const weights = await ask(port, '/api/weights');
    expect(weights.headers['x-step']).toBe('7');
    expect([weights.body.readFloatLE(0), weights.body.readFloatLE(4)]).toEqual([1, -2]);
    for (const path of ['/nothing', '/../package.json', '/%2e%2e/package.json', '/api/run/', '//'])
      expect(await ask(port, path), path).toMatchObject({ status: 404 });
  });

  it('is alive but not ready while there is a problem, and reports the problem', async () => {
    const source = stage();
    source.problem = 'the disk is full';
    const { port } = await open(source);
    const ready = await ask(port, '/readyz');
    expect([ready.status, ready.body.toString()]).toEqual([503, 'the disk is full\n']);
    expect(await ask(port, '/healthz')).toMatchObject({ status: 200 });
  });

  it('ignores any query string that a probe adds to a path', async () => {
    const { port } = await open(stage());
    for (const path of [
      '/healthz?x',
      '/readyz?probe=1',
      '/metrics?a=b?c',
      '/api/run?',
      '/?utm=1',
      '/main.js?v=2',
    ])
      expect(await ask(port, path), path).toMatchObject({ status: 200 });
    expect(await ask(port, '/nothing?x')).toMatchObject({ status: 404 });
  });

  it('answers HEAD like GET without a body, but not as a scrape or a page', async () => {
    const { port } = await open(stage());
    for (const path of [
      '/healthz',
      '/readyz',
      '/metrics',
      '/api/run',
      '/api/weights',
      '/',
      '/nothing',
      '/api/stream',
    ]) {
      const [head, body] = [
        await ask(port, path, { method: 'HEAD' }),
        path === '/api/stream' ? undefined : await ask(port, path),
      ];
      expect(head.body.length, path).toBe(0);
      if (body === undefined)
        expect(head).toMatchObject({
          status: 200,
          headers: { 'content-type': 'text/event-stream' },
        });
      else {
        expect(head.status, path).toBe(body.status);
        expect(head.headers['content-length'], path).toBe(String(body.body.length));
      }
    }
  });

  it('answers 503 until there is something to show', async () => {
    const source = stage();
    source.shown = undefined;
    const { port } = await open(source);
    expect(await ask(port, '/healthz')).toMatchObject({ status: 200 });
    for (const path of ['/readyz', '/api/run'])
      expect(await ask(port, path)).toMatchObject({ status: 503 });
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('does not answer %s', async (method) => {
    const { port } = await open(stage());
    expect(await ask(port, '/metrics', { method })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD' },
    });
  });

  it.each(['localhost', '127.0.0.1:9464', 'LOCALHOST:1', '[::1]:9464'])(
    'answers if the Host header is %s',
    async (host) => {
      const { port } = await open(stage());
      expect(await ask(port, '/metrics', { headers: { host } })).toMatchObject({ status: 200 });
    },
  );

  it.each([
    'evil.example',
    'localhost.evil.example',
    '10.0.0.1:9464',
    '127.0.0.1.evil.example:9464',
  ])('rejects a page that calls this machine "%s"', async (host) => {
    const { port } = await open(stage());
    for (const path of ['/', '/metrics', '/api/stream', '/api/weights'])
      expect(await ask(port, path, { headers: { host } })).toMatchObject({ status: 421 });
  });

  it('uses the next port only if that is allowed', async () => {
    const { port } = await open(stage());
    await expect(open(stage(), '127.0.0.1', port)).rejects.toSatisfy(
      (error) =>
        error instanceof ClusterError &&
        error.code === 'ADDRESS' &&
        error.message.includes('--http-port'),
    );
    const next = await Listener.open({ ...place, port, isPortFree: true, source: stage() });
    onTestFinished(() => next.close(0));
    expect(next.port).toBeGreaterThan(port);
  });

  it('sends every update to every page, and copies the weights once for all of them', async () => {
    const source = stage();
    const { port } = await open(source);
    const pages = await Promise.all([follow(port), follow(port), follow(port)]);
    source.updates.push({ evaluation: [1, 2, 3] }, { evaluation: [4, 5, 6] });
    for (const { events } of pages) {
      expect((await events.next()).value).toEqual({ evaluation: [1, 2, 3] });
      expect((await events.next()).value).toEqual({ evaluation: [4, 5, 6] });
    }
    const began = performance.now();
    await Promise.all([1, 2, 3, 4].map(() => ask(port, '/api/weights')));
    expect(source.weightCopies).toBeLessThanOrEqual(
      1 + (performance.now() - began) / PAGE_WEIGHTS_MILLISECONDS,
    );
  });

  it('encodes a view once for all requests until it reads the run again', async () => {
    const source = stage();
    let views = 0;
    source.view = () => {
      views += 1;
      return sampleView;
    };
    let turns = 0;
    source.turn = () => void (turns += 1);
    const { port } = await open(source);
    await Promise.all(Array.from({ length: 50 }, () => ask(port, '/api/run')));
    expect(views).toBeLessThanOrEqual(1 + turns);
  });

  it('answers while newcomers occupy all their places', async () => {
    const { port } = await open(stage());
    let isCut: () => void = () => undefined;
    const cut = new Promise<void>((resolve) => (isCut = resolve));
    for (let i = 0; i <= MAX_NEWCOMERS; i++) {
      const silent = connect(port, '127.0.0.1').on('error', () => undefined);
      onTestFinished(() => void silent.destroy());
      await once(silent, 'connect');
      if (i === 0) silent.once('close', isCut);
    }
    await cut;
    expect((await ask(port, '/readyz')).status).toBe(200);
  });

  it('answers while more connections than places have asked once and are idle', async () => {
    const { port } = await open(stage());
    let cuts = 0;
    for (let i = 0; i < MAX_NEWCOMERS + 2 * MAX_PAGES; i++) {
      const asking = connect(port, '127.0.0.1').on('error', () => undefined);
      onTestFinished(() => void asking.destroy());
      asking.once('close', () => (cuts += 1));
      asking.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(asking, 'data');
    }
    expect((await ask(port, '/readyz')).status).toBe(200);
    expect(cuts).toBeGreaterThan(0);
  });

  it('limits the number of open pages', async () => {
    const { port } = await open(stage());
    await Promise.all(Array.from({ length: MAX_PAGES }, () => follow(port)));
    expect(await ask(port, '/api/stream')).toMatchObject({ status: 503 });
    // All other requests are still answered.
    expect(await ask(port, '/metrics')).toMatchObject({ status: 200 });
  });

  it.each([
    [
      'never finishes its request',
      'GET / HTTP/1.1\r\nHost: localhost\r\nX: ',
      /^(HTTP\/1\.1 408 |$)/,
    ],
    ['sends nothing', '', /^$/],
    [
      'sends a header that is too long',
      `GET / HTTP/1.1\r\nX: ${'x'.repeat(10_000)}\r\n\r\n`,
      /^HTTP\/1\.1 431 /,
    ],
    ['does not speak HTTP', '\u0016\u0003\u0001 hello\r\n\r\n', /^HTTP\/1\.1 400 /],
    [
      'sends a body',
      'GET /api/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n',
      /^HTTP\/1\.1 /,
    ],
  ])('closes a connection that %s', async (_what, bytes, answer) => {
    const { port } = await open(stage());
    const socket = connect(port, '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    let received = '';
    socket.setEncoding('utf8').on('data', (text) => (received += String(text)));
    socket.on('error', () => undefined);
    socket.write(bytes);
    await new Promise((resolve) => socket.once('close', resolve));
    expect(received).toMatch(answer);
  });

  it.each(['/api/run', '/api/stream', '/metrics', '/'])(
    'closes a connection that requests %s repeatedly without waiting for a response',
    async (path) => {
      const source = stage();
      const { port } = await open(source);
      const socket = connect(port, '127.0.0.1');
      onTestFinished(() => void socket.destroy());
      socket.on('error', () => undefined).resume();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`.repeat(MAX_PAGES));
      await once(socket, 'close');
      // The connection does not take the place of another page.
      expect((await follow(port)).response.statusCode).toBe(200);
      await Promise.all(Array.from({ length: MAX_PAGES - 1 }, () => follow(port)));
    },
  );

  it('limits the size of responses in transit, and sends more when they have arrived', async () => {
    const source = stage();
    const { port } = await open(source);
    const large = 'x'.repeat(MAX_PAGE_ANSWER_BYTES / 4);
    source.scrape = () => Promise.resolve({ type: 'text/plain', text: large });
    const silent = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'));
    onTestFinished(() => silent.forEach((socket) => socket.destroy()));
    for (const socket of silent) {
      socket.on('error', () => undefined).pause();
      socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
    }
    let status: number | undefined = 200;
    while (status === 200) ({ status } = await ask(port, '/api/run'));
    expect(status).toBe(503);
    silent.forEach((socket) => socket.destroy());
    while (status !== 200) ({ status } = await ask(port, '/api/run'));
  });

  it.each(['turn', 'view', 'scrape', 'weights'] as const)(
    'reports a failure of %s, and keeps answering',
    async (method) => {
      const source = stage();
      const defects: unknown[] = [];
      const listener = await Listener.open({
        ...place,
        source,
        onDefect: (error) => defects.push(error),
      });
      onTestFinished(() => listener.close(0));
      const { port } = listener;
      const page = await follow(port);
      const defect = new Error('a bug');
      source[method] = () => {
        throw defect;
      };
      const paths = {
        turn: '/api/stream',
        view: '/api/run',
        scrape: '/metrics',
        weights: '/api/weights',
      };
      if (method !== 'turn') await ask(port, paths[method]);
      // A page learns of the failure from the end of its stream.
      expect((await page.events.next()).done).toBe(true);
      for (const path of ['/metrics', '/api/run', '/api/stream', '/readyz'])
        expect(await ask(port, path), path).toMatchObject({ status: 500 });
      for (const path of ['/healthz', '/'])
        expect(await ask(port, path)).toMatchObject({ status: 200 });
      // The listener does not wait for a scrape.
      await listener.close(3_600_000);
      expect(defects).toEqual([defect]);
    },
  );

  it('does not serve metrics for a recorded run', async () => {
    const source = stage();
    source.scrape = () => Promise.resolve(undefined);
    const { port } = await open(source);
    expect(await ask(port, '/metrics')).toMatchObject({ status: 404 });
  });

  it('answers a link on a page from another site, but not requests from that page', async () => {
    const { port } = await open(stage());
    const from = (mode: string) => ({
      headers: { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': mode },
    });
    expect(await ask(port, '/', from('navigate'))).toMatchObject({ status: 200 });
    for (const path of ['/', '/metrics', '/api/run', '/api/weights'])
      expect(await ask(port, path, from('no-cors')), path).toMatchObject({ status: 403 });
  });

  it('closes the connection of a page that does not read', async () => {
    const source = stage();
    const { port } = await open(source);
    const reader = await follow(port);
    const silent = connect(port, '127.0.0.1');
    onTestFinished(() => void silent.destroy());
    await once(silent, 'connect');
    silent.pause();
    silent.write('GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const closed = once(silent, 'close');
    silent.on('error', () => undefined);
    const message = 'x'.repeat(MAX_PAGE_QUEUE_BYTES);
    const update: Update = { events: [{ time: '', event: '', level: 'info', message }] };
    source.turn = () => update;
    // This is more than the kernel's buffers for a connection and the listener's queue hold
    // together.
    for (let received = 0; received < 20; received++)
      expect((await reader.events.next()).value?.events?.[0]?.message.length).toBe(message.length);
    // If the connection had not been closed, this would read forever.
    silent.resume();
    await closed;
  });

  it('sends the last updates and weights as it closes, and waits for one more scrape', async () => {
    const source = stage();
    const listener = await Listener.open({ ...place, source });
    const { port } = listener;
    const { events, response } = await follow(port);
    await ask(port, '/api/weights');
    await ask(port, '/metrics');
    source.updates.push({ evaluation: [9, 9, 9] });
    const closed = listener.close(60_000);
    expect((await events.next()).value).toEqual({ evaluation: [9, 9, 9] });
    expect(await ask(port, '/api/weights')).toMatchObject({ status: 200 });
    // These are the final weights, not the earlier ones.
    expect(source.weightCopies).toBe(2);
    expect(await ask(port, '/metrics')).toMatchObject({ status: 200 });
    await closed;
    expect((await events.next()).done).toBe(true);
    expect(response.complete).toBe(true);
    await expect(ask(port, '/healthz')).rejects.toThrow('ECONNREFUSED');
  });
});
