import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from 'node:http';
import { Agent, createServer as createSecureServer, get } from 'node:https';
import { connect as dial } from 'node:net';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  listen,
  type CoordinatorServer,
  type ServerOptions,
} from '../../coordinator/network/server.ts';
import type { ServerTls } from '../../coordinator/network/http-server.ts';
import { ClusterError } from '../../shared/errors.ts';
import {
  answerHeader,
  challengeHeader,
  confirmationHeader,
  newNonce,
  parseAnswer,
} from '../../shared/wire/proof.ts';
import { connect } from '../../worker/connect.ts';
import { fetchDescription, type DialOptions } from '../../worker/dial.ts';
import { Anchor, type Trust } from '../../worker/trust.ts';
import { answerTo } from '../fixtures/proven-client.ts';
import { TestAuthority } from '../fixtures/certificates.ts';
import { listening } from '../fixtures/listening.ts';
import { description } from './fake-coordinator.ts';
import { plainRequest, upgradeRequest, WORKER_PATH } from './frames.ts';
import { TOKEN } from './honest.ts';

const ignored = {
  connected: () => undefined,
  message: () => undefined,
  control: () => undefined,
  disconnected: () => undefined,
};

async function startServer(tls?: ServerTls): Promise<number> {
  const server = await startListener({ tls });
  onTestFinished(() => server.close());
  return server.port;
}

function startListener(
  options: Partial<Pick<ServerOptions, 'tls' | 'listening'>>,
): Promise<CoordinatorServer> {
  return listen(
    {
      host: '127.0.0.1',
      port: 0,
      token: TOKEN,
      ...options,
      maxFrameBytes: 1000,
      dataset: { digest: '0'.repeat(64), bytes: new Uint8Array(1) },
      description: () => description,
      version: '0',
      openMemory: () => undefined,
      warn: () => undefined,
    },
    ignored,
  );
}

/** A raw connection: each call writes bytes and resolves with the next response. */
function conversation(port: number): (bytes: string) => Promise<string> {
  const socket = dial(port, '127.0.0.1').on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  return async (bytes) => {
    socket.write(bytes);
    const [said] = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    return String(said);
  };
}

const answered = (head: string, target: string, token = TOKEN): string =>
  answerTo(head, token, target) ?? '';

describe('a coordinator', () => {
  it('accepts a proof only once, on the connection it challenged, and proves itself', async () => {
    const port = await startServer();
    const first = conversation(port);
    const answer = answered(await first(plainRequest('/run')), 'GET /run');
    const said = await first(plainRequest('/run', answer));
    expect(said).toMatch(/^HTTP\/1\.1 200 [^]*Authentication-Info: proof="[0-9a-f]{64}"/);
    // An eavesdropper replays the recorded proof, with and without requesting a new challenge
    // first.
    const again = conversation(port);
    expect(await again(plainRequest('/run'))).toMatch(/^HTTP\/1\.1 401 [^]*MnistDist nonce=/);
    expect(await again(plainRequest('/run', answer))).toMatch(/^HTTP\/1\.1 401 /);
    expect(await conversation(port)(plainRequest('/run', answer))).toMatch(/^HTTP\/1\.1 401 /);
  });

  it('challenges a connection only once', async () => {
    const port = await startServer();
    const wrong = conversation(port);
    const head = await wrong(plainRequest('/run'));
    expect(await wrong(plainRequest('/run', answered(head, 'GET /run', `${TOKEN}x`)))).toMatch(
      /^HTTP\/1\.1 401 /,
    );
    expect(await wrong(plainRequest('/run', answered(head, 'GET /run')))).not.toMatch(/ 200 /);
    const asked = conversation(port);
    await asked(plainRequest('/run'));
    expect(await asked(plainRequest('/run'))).not.toContain('nonce=');
  });

  it('rejects a proof for another path or method, and its own proof', async () => {
    const port = await startServer();
    for (const target of ['GET /data/0', 'POST /run', 'GET /worker/r', 'GET /run?']) {
      const say = conversation(port);
      const answer = answered(await say(plainRequest('/run')), target);
      expect(await say(plainRequest('/run', answer)), target).toMatch(/^HTTP\/1\.1 401 /);
    }
    const run = conversation(port);
    const confirmed = await run(
      plainRequest('/run', answered(await run(plainRequest('/run')), 'GET /run')),
    );
    const proof = /Authentication-Info: proof="([0-9a-f]{64})"/.exec(confirmed)?.[1] ?? '';
    const reflecting = conversation(port);
    await reflecting(plainRequest('/run'));
    expect(await reflecting(plainRequest('/run', answerHeader(newNonce(), proof)))).toMatch(
      /^HTTP\/1\.1 401 /,
    );
  });

  it('upgrades only for the run for which the proof was made', async () => {
    const port = await startServer();
    for (const [path, status] of [
      [WORKER_PATH, 101],
      ['/worker/of-another-run', 409],
      ['/worker', 404],
    ] as const) {
      const say = conversation(port);
      const answer = answered(await say(plainRequest(path)), `GET ${path}`);
      const said = await say(upgradeRequest(answer, path));
      expect(said).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*Authentication-Info: proof=`));
    }
  });
});

let authority: TestAuthority;
beforeAll(async () => {
  authority = await TestAuthority.make();
});

function dialOf(url: string, trust: Trust = { kind: 'system' }): DialOptions {
  return {
    version: '0.2.0',
    coordinator: new URL(url),
    anchor: new Anchor(trust),
    token: () => TOKEN,
    maxModelBytes: 1e9,
    maxDataBytes: 1e9,
    maxMemoryBytes: 1e9,
    engine: 'reference',
    requestLimitMilliseconds: 10_000,
    dataLimitMilliseconds: 60_000,
    signal: new AbortController().signal,
  };
}

/**
 * Makes a worker dial a server that is not its coordinator. Resolves with the worker's error and
 * with everything that the worker sent.
 */
async function faced(
  impostor: RequestListener,
  join: (options: DialOptions) => Promise<unknown>,
  tls?: ServerTls,
): Promise<{ error: unknown; heard: string }> {
  let heard = '';
  const listener: RequestListener = (request, response) => {
    heard += `${request.url} ${JSON.stringify(request.rawHeaders)}\n`;
    impostor(request, response);
  };
  const http = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  http.on('upgrade', (request: IncomingMessage, socket) => {
    heard += `${request.url} ${JSON.stringify(request.rawHeaders)}\n`;
    socket.end(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    );
  });
  const port = await listening(http);
  const trust: Trust =
    tls === undefined
      ? { kind: 'system' }
      : { kind: 'certificates', pem: authority.pair.certificate };
  const url = `${tls === undefined ? 'ws' : 'wss'}://127.0.0.1:${port}`;
  const error = await join(dialOf(url, trust)).catch((reason: unknown) => reason);
  return { error, heard };
}

/** A server that challenges a worker and answers its proof with `answer`. */
function impostor(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): RequestListener {
  return (request, response) => {
    if (request.headers.authorization === undefined)
      response.writeHead(401, { 'WWW-Authenticate': challengeHeader('0'.repeat(64)) }).end();
    else answer(request, response);
  };
}

const switchProtocols = (_: IncomingMessage, { socket }: ServerResponse): void =>
  void socket?.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  );

const described = (response: ServerResponse, info?: string): void => {
  if (info !== undefined) response.setHeader('Authentication-Info', info);
  response.end(JSON.stringify(description));
};

describe('a worker neither trusts nor gives the token to', () => {
  it.each<[string, RequestListener]>([
    ['a process that does not ask for a proof', (_, response) => described(response)],
    [
      'a process that asks for the token itself',
      (_, response) => void response.writeHead(401, { 'WWW-Authenticate': 'Bearer' }).end(),
    ],
    [
      'a process that asks for a password',
      (_, response) =>
        void response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end(),
    ],
    [
      'a process whose challenge never ends',
      (_, response) => void response.writeHead(401).end(Buffer.alloc(1e6)),
    ],
    ['a process that accepts every proof', impostor((_, response) => described(response))],
    [
      "a process that returns the worker's own proof",
      impostor((request, response) =>
        described(
          response,
          confirmationHeader(parseAnswer(request.headers.authorization)?.proof ?? ''),
        ),
      ),
    ],
    [
      'a process that invents a proof',
      impostor((_, response) => described(response, confirmationHeader('0'.repeat(64)))),
    ],
    [
      'a process that rejects its proof',
      impostor((_, response) => void response.writeHead(401).end()),
    ],
    [
      'a process that claims not to be ready',
      impostor((_, response) => void response.writeHead(503).end()),
    ],
  ])('%s', async (_, listener) => {
    for (const join of [
      fetchDescription,
      (options: DialOptions) => connect(options, description),
    ]) {
      const { error, heard } = await faced(listener, join);
      if (!(error instanceof ClusterError)) throw new Error(`it was accepted: ${String(error)}`);
      expect(['UNAUTHORIZED', 'VERSION', 'PROTOCOL']).toContain(error.code);
      expect(heard).not.toContain(TOKEN);
      expect(heard).not.toMatch(/Bearer|Basic/);
    }
  });

  it.each([
    ['before its proof', () => switchProtocols],
    ['after its proof', () => impostor(switchProtocols)],
  ])('a process that switches protocols unasked, %s', async (_, listener) => {
    const { error, heard } = await faced(listener(), fetchDescription);
    expect(error).toMatchObject({ code: 'UNREACHABLE' });
    expect(heard).not.toContain(TOKEN);
  });

  it('a process that challenges it when it has no token', async () => {
    const { error, heard } = await faced(
      impostor(() => undefined),
      (options) => fetchDescription({ ...options, token: () => '' }),
    );
    expect(error).toMatchObject({
      code: 'UNAUTHORIZED',
      message: expect.stringContaining('has none'),
    });
    expect(heard).not.toContain('Authorization');
  });

  it('a relay between two TLS connections, even if it trusts the certificate', async () => {
    const tls = await authority.server();
    const port = await startServer(tls);
    const { certificate: ca } = authority.pair;
    // One connection to the coordinator, just as the worker has one to the relay.
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca });
    const relay: RequestListener = (request, response) => {
      const headers =
        request.headers.authorization === undefined
          ? {}
          : { authorization: request.headers.authorization };
      get({ host: '127.0.0.1', port, path: request.url, agent, headers }, (answer) => {
        const challenge = answer.headers['www-authenticate'];
        const info = answer.headers['authentication-info'];
        response.writeHead(answer.statusCode ?? 0, {
          ...(challenge === undefined ? {} : { 'WWW-Authenticate': challenge }),
          ...(typeof info === 'string' ? { 'Authentication-Info': info } : {}),
        });
        answer.pipe(response);
      }).on('error', () => response.destroy());
    };
    const { error } = await faced(relay, fetchDescription, tls);
    expect(error).toMatchObject({ code: 'UNAUTHORIZED' });
    agent.destroy();
    // Without the relay the worker is admitted.
    const trust = { kind: 'certificates', pem: ca } as const;
    const options = dialOf(`wss://127.0.0.1:${port}`, trust);
    expect(await fetchDescription(options)).toMatchObject({ run: 'r' });
    const { webSocket } = await connect(options, description);
    expect(webSocket.readyState).toBe(webSocket.OPEN);
    webSocket.terminate();
  });
});

it('a worker that dials before the coordinator stores its token uses that token', async () => {
  let token = '';
  let dialled: Promise<unknown> | undefined;
  const server = await startListener({
    listening: (port) => {
      dialled = fetchDescription({ ...dialOf(`ws://127.0.0.1:${port}`), token: () => token });
      token = TOKEN;
      return () => (token = '');
    },
  });
  expect(await dialled).toMatchObject({ run: 'r' });
  const closed = server.close();
  expect(token).toBe('');
  await closed;
});
