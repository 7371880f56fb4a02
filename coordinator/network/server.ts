import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http';
import { pipeline, Readable, type Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { unreachable } from '../../shared/errors.ts';
import { FrameSocket } from '../../shared/wire/frame-socket.ts';
import * as limits from '../../shared/limits.ts';
import { PROTOCOL } from '../../shared/wire/messages.ts';
import { workerPath } from '../../shared/wire/proof.ts';
import type { Rendezvous } from '../../shared/wire/rendezvous.ts';
import { Authenticator } from './authenticator.ts';
import { bind, trainingFlags } from './bind-port.ts';
import { Connection } from './connection.ts';
import { createBoundedServer, type BoundedServer, type ServerTls } from './http-server.ts';
import { addressOf, newcomerLimits, Newcomers } from './newcomers.ts';
import { networkOf } from './peer-network.ts';
import type { PeerEvents } from './peer.ts';
import { Refusals, type Refusal } from './refusals.ts';
import { RequestPlaces } from './request-places.ts';
import { UpgradeRate } from './upgrade-rate.ts';
import type { OpenMemory } from './worker-memory.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';

export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  /** The file descriptor of a listening socket that this process inherited. */
  readonly descriptor?: number | undefined;
  readonly token: string;
  /** Without TLS, anyone on the network can read everything but the token. */
  readonly tls?: ServerTls | undefined;
  /** The response to GET /run; undefined (503) while the run is being set up. */
  readonly description: () => { readonly run: string } | undefined;
  readonly version: string;
  readonly dataset: { readonly digest: string; readonly bytes: Uint8Array };
  /** The largest frame a worker may send. */
  readonly maxFrameBytes: number;
  readonly openMemory: OpenMemory;
  /** The channel to workers on this host; undefined if there is none. */
  readonly channels?: Rendezvous | undefined;
  /** Called with log lines about refused connections, at a limited rate. */
  readonly warn: (line: string) => void;
  /**
   * Called when the server is listening, before it accepts a connection. The returned function is
   * called right before it stops listening, while no other process can have the port.
   */
  readonly listening?: ((port: number) => () => void) | undefined;
}

export interface CoordinatorServer {
  readonly host: string;
  readonly port: number;
  /** The number of requests without a proof of the token, or with a wrong one. */
  readonly unauthorized: number;
  /** The workers' connections, by slot. */
  readonly connections: ReadonlyMap<number, Connection>;
  close(): Promise<void>;
}

/**
 * The training listener: GET /run, GET /data/<sha256>, and the upgrade at /worker. Both sides prove
 * that they know the token (shared/wire/proof.ts) before anything else; a peer without it gets 401.
 */
export async function listen(
  options: ServerOptions,
  events: PeerEvents,
): Promise<CoordinatorServer> {
  const http = createBoundedServer(
    limits.MAX_NEWCOMERS + limits.MAX_CONNECTIONS + 2 * limits.MAX_REQUESTS,
    options.tls,
  );
  const access = new AccessControl(http, options);
  // After the upgrade, the run itself limits the number of workers.
  http.on('request', (request, response) => {
    const decision = access.judge(request, false);
    if (decision.kind === 'admitted')
      answer(options, request, response, { ...decision.headers, ...CLOSE }, () =>
        access.refuse(addressOf(request.socket), 'slow'),
      );
    else reply(response, decision.status, decision.headers, decision.text);
  });
  // ws's types lack closeTimeout.
  const settings = {
    noServer: true,
    perMessageDeflate: false,
    clientTracking: false,
    maxFragments: 1,
    maxPayload: options.maxFrameBytes,
    maxBufferedChunks: Math.ceil(options.maxFrameBytes / 512),
    closeTimeout: limits.CLOSE_LIMIT_MILLISECONDS,
  };
  const webSockets = new WebSocketServer(settings);
  const proofs = new WeakMap<IncomingMessage, Headers>();
  webSockets.on('headers', (lines, request) => lines.push(...linesOf(proofs.get(request) ?? {})));
  const connections = new Map<number, Connection>();
  const rate = new UpgradeRate();
  http.on('upgrade', (request, socket, head) => {
    const decision = access.judge(request, true);
    if (decision.kind !== 'admitted') return hangUp(socket, decision.status, decision.headers);
    const refusal = refuseUpgrade(options, request);
    if (refusal !== undefined) return hangUp(socket, refusal, decision.headers);
    if (!rate.admits(addressOf(request.socket), performance.now())) {
      access.refuse(addressOf(request.socket), 'upgrades');
      return hangUp(socket, 429, decision.headers);
    }
    // If an upgrade announces a body, Node 26 passes a stream that is not the socket; no worker
    // sends a body.
    if (socket !== request.socket) return hangUp(socket, 400, decision.headers);
    proofs.set(request, decision.headers);
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const slot = freeSlot(connections);
      const frames = new FrameSocket(webSocket, request.socket, 'server', options.maxFrameBytes);
      const gone = () => connections.delete(slot);
      const { openMemory, channels } = options;
      const connection = new Connection(slot, frames, events, openMemory, channels, gone);
      connections.set(slot, connection);
      events.connected(connection);
    });
  });
  // A later error, such as a lack of file descriptors, costs a connection but not the run.
  http.on('error', () => undefined);
  const { host, descriptor } = options;
  const address = { host, port: options.port, descriptor, isPortFree: false };
  // Connections are accepted only after this turn of the event loop.
  const port = await bind(http, address, trainingFlags);
  let leaving: (() => void) | undefined;
  try {
    leaving = options.listening?.(port);
  } catch (error) {
    await closeServer(http, connections);
    throw error;
  }
  return {
    host,
    port,
    get unauthorized() {
      return access.unauthorized;
    },
    connections,
    close: () => {
      leaving?.();
      access.close();
      return closeServer(http, connections);
    },
  };
}

type Headers = Readonly<Record<string, string>>;

/** Whether a request is admitted and, if not, the response that refuses it. */
type Access =
  | { readonly kind: 'admitted'; readonly headers: Headers }
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly headers: Headers;
      readonly text: string;
    };

/**
 * Admits connections that prove the token, up to MAX_CONNECTIONS for workers, MAX_REQUESTS for
 * downloads of the dataset and as many for other requests, and logs refused connections.
 */
class AccessControl {
  unauthorized = 0;
  readonly #downloads = this.#placesForRequests();
  /** Requests that take no time, such as those of the run's description. */
  readonly #others = this.#placesForRequests();
  readonly #authenticator: Authenticator;
  readonly #newcomers: Newcomers;
  readonly #refusals: Refusals;
  readonly #options: ServerOptions;
  #admitted = 0;

  constructor(http: BoundedServer, options: ServerOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options.version);
    this.#authenticator = new Authenticator(options.token);
    this.#newcomers = new Newcomers(http, newcomerLimits(), (address, end) =>
      this.refuse(address, end === 'unproven' ? 'token' : end),
    );
    const timer = setInterval(() => {
      for (const line of this.#refusals.due(performance.now())) options.warn(line);
    }, limits.REQUEST_CHECK_MILLISECONDS).unref();
    http.once('close', () => clearInterval(timer));
  }

  close(): void {
    this.#newcomers.forget();
  }

  judge(request: IncomingMessage, isUpgrade: boolean): Access {
    const { socket, method, url } = request;
    const verdict = this.#authenticator.authenticate(request);
    const address = addressOf(socket);
    switch (verdict.kind) {
      case 'challenged':
        return refused(
          401,
          { 'WWW-Authenticate': verdict.challenge },
          'prove that you know the token\n',
        );
      case 'admitted': {
        this.#refusals.admitted(address);
        this.#newcomers.release(socket);
        const headers = { 'Authentication-Info': verdict.confirmation };
        const lack = this.#lackOfPlace(request, isUpgrade);
        if (lack !== undefined) {
          this.refuse(address, lack);
          return refused(429, { ...headers, ...CLOSE }, 'all places are taken; try again\n');
        }
        return { kind: 'admitted', headers };
      }
      case 'outdated':
        this.#newcomers.release(socket);
        this.refuse(address, 'outdated');
        // An older worker reads the versions in this response, and reports that they differ.
        if (method === 'GET' && url === '/run')
          return refused(
            200,
            { ...CLOSE, 'Content-Type': 'application/json' },
            JSON.stringify({
              protocol: PROTOCOL,
              arithmetic: ARITHMETIC,
              version: this.#options.version,
            }),
          );
        return refused(401, CLOSE, UNPROVEN);
      case 'refused':
        this.#newcomers.release(socket);
        this.refuse(address, 'token');
        return refused(401, CLOSE, UNPROVEN);
      default:
        return unreachable(verdict);
    }
  }

  #placesForRequests(): RequestPlaces {
    return new RequestPlaces((address) => this.refuse(address, 'requests'));
  }

  /** Takes a place for a connection until it closes; returns the reason if there is none. */
  #lackOfPlace({ socket, url }: IncomingMessage, isUpgrade: boolean): Refusal | undefined {
    if (!isUpgrade) {
      const places = url?.startsWith('/data/') === true ? this.#downloads : this.#others;
      return places.take(networkOf(addressOf(socket)), socket) ? undefined : 'requests';
    }
    if (this.#admitted >= limits.MAX_CONNECTIONS) return 'connections';
    this.#admitted += 1;
    socket.once('close', () => (this.#admitted -= 1));
    return undefined;
  }

  /** Counts a refused connection, and logs it unless its address was logged recently. */
  refuse(address: string, refusal: Refusal): void {
    if (refusal === 'token') this.unauthorized += 1;
    const line = this.#refusals.add(address, refusal, performance.now());
    if (line !== undefined) this.#options.warn(line);
  }
}

const CLOSE = { Connection: 'close' };
const UNPROVEN = 'this is not a valid proof of the token\n';

function refused(status: number, headers: Headers, text: string): Access {
  return { kind: 'refused', status, headers, text };
}

function answer(
  options: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  headers: Headers,
  onSlow: () => void,
): void {
  if (request.method !== 'GET')
    return reply(response, 405, { ...headers, Allow: 'GET' }, 'only GET is supported\n');
  const description = options.description();
  if (description === undefined)
    return reply(response, 503, { ...headers, 'Retry-After': '1' }, 'the run is being set up\n');
  if (request.url === '/run')
    return reply(
      response,
      200,
      { ...headers, 'Content-Type': 'application/json' },
      JSON.stringify(description),
    );
  if (request.url === `/data/${options.dataset.digest}`)
    return sendData(options.dataset.bytes, request, response, headers, onSlow);
  reply(response, 404, headers, 'not found: try /run, /data/<sha256> or the upgrade at /worker\n');
}

/**
 * Sends the dataset, or with `Range: bytes=N-` the rest that an interrupted download needs. If the
 * peer reads too slowly, calls `onSlow` and closes the connection.
 */
function sendData(
  bytes: Uint8Array,
  request: IncomingMessage,
  response: ServerResponse,
  headers: Headers,
  onSlow: () => void,
): void {
  const range = /^bytes=(\d{1,15})-$/.exec(request.headers.range ?? '')?.[1];
  const start = range === undefined ? 0 : Number(range);
  if (start >= bytes.length)
    return reply(response, 416, { ...headers, 'Content-Range': `bytes */${bytes.length}` }, '');
  const partial =
    range === undefined
      ? {}
      : { 'Content-Range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(range === undefined ? 200 : 206, {
    ...headers,
    'Content-Type': 'application/octet-stream',
    'Content-Length': bytes.length - start,
    'Accept-Ranges': 'bytes',
    ...partial,
  });
  const limit = setTimeout(
    () => {
      onSlow();
      response.destroy();
    },
    downloadLimit(bytes.length - start),
  ).unref();
  // Sent piece by piece, as the peer reads, since TLS would otherwise encrypt and buffer the whole
  // body.
  pipeline(Readable.from(piecesOf(bytes.subarray(start)), { highWaterMark: 1 }), response, () =>
    clearTimeout(limit),
  );
}

function downloadLimit(bytes: number): number {
  return limits.REQUEST_LIMIT_MILLISECONDS + (1000 * bytes) / limits.MIN_DATA_BYTES_PER_SECOND;
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += limits.DATA_PIECE_BYTES)
    yield bytes.subarray(at, at + limits.DATA_PIECE_BYTES);
}

function reply(response: ServerResponse, status: number, headers: Headers, body: string): void {
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

/** The status that refuses an upgrade; undefined if the upgrade is admitted. */
function refuseUpgrade(
  { description }: ServerOptions,
  request: IncomingMessage,
): number | undefined {
  const run = description()?.run;
  if (run === undefined) return 503;
  if (request.url === workerPath(run)) return undefined;
  // The worker read the description of another run.
  return request.url?.startsWith(workerPath('')) === true ? 409 : 404;
}

function hangUp(socket: Duplex, status: number, headers: Headers): void {
  socket.on('error', () => socket.destroy());
  const lines = linesOf({ ...headers, ...CLOSE, 'Content-Length': '0' });
  const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, ...lines].join('\r\n');
  // Node has no time limits after an upgrade: a peer that does not close its half would stay
  // connected forever.
  socket.end(`${head}\r\n\r\n`, () => socket.destroy());
}

function linesOf(headers: Headers): string[] {
  return Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
}

function freeSlot(connections: ReadonlyMap<number, Connection>): number {
  let slot = 0;
  while (connections.has(slot)) slot += 1;
  return slot;
}

async function closeServer(
  http: BoundedServer,
  connections: ReadonlyMap<number, Connection>,
): Promise<void> {
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  await Promise.all([...connections.values()].map((connection) => connection.closed));
  http.closeAllConnections();
  await closed;
}
