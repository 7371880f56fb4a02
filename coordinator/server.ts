import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline, Readable, type Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { ClusterError } from '../shared/errors.ts';
import { FrameSocket } from '../shared/frame-socket.ts';
import * as limits from '../shared/limits.ts';
import { isAuthorized } from './authorization.ts';
import { Connection, type OpenMemory } from './connection.ts';
import { createBoundedServer, portOf, type BoundedServer, type ServerTls } from './http-server.ts';
import type { PeerEvents } from './peer.ts';

const UNAUTHORIZED = '401 Unauthorized';
/** Whoever lacks the token does not stay either. */
const UNAUTHORIZED_HEADERS = { 'WWW-Authenticate': 'Bearer', Connection: 'close' };

export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  readonly token: string;
  /** Without it whoever reads the network reads everything, the token too. */
  readonly tls?: ServerTls | undefined;
  /** What GET /run answers; undefined, and 503, as long as the run is being set up. */
  readonly description: () => object | undefined;
  readonly dataset: { readonly digest: string; readonly bytes: Uint8Array };
  /** The largest frame a worker may send. */
  readonly maxFrameBytes: number;
  readonly openMemory: OpenMemory;
}

export interface CoordinatorServer {
  readonly host: string;
  readonly port: number;
  /** How many requests lacked the token so far. */
  readonly unauthorized: number;
  close(): Promise<void>;
}

/**
 * The training listener: GET /run, GET /data/<sha256>, and the upgrade at /worker. The token is compared before
 * anything else is looked at; who lacks it learns nothing but 401.
 */
export async function listen(options: ServerOptions, events: PeerEvents): Promise<CoordinatorServer> {
  let unauthorized = 0;
  // Workers' connections are judged by the run, once they are upgraded.
  const http = createBoundedServer(limits.MAX_CONNECTIONS, options.tls);
  http.on('request', (request, response) => {
    if (isAuthorized(options.token, request)) return answer(options, request, response);
    unauthorized += 1;
    reply(response, 401, UNAUTHORIZED_HEADERS, 'the token is missing or wrong\n');
  });
  const webSockets = new WebSocketServer({
    ...{ noServer: true, perMessageDeflate: false, clientTracking: false, maxFragments: 1 },
    ...{ maxPayload: options.maxFrameBytes, maxBufferedChunks: Math.ceil(options.maxFrameBytes / 512) },
    ...{ closeTimeout: limits.CLOSE_LIMIT_MILLISECONDS },
  });
  const connections = new Map<number, Connection>();
  http.on('upgrade', (request, socket, head) => {
    const refusal = refuseUpgrade(options, request);
    if (refusal === UNAUTHORIZED) unauthorized += 1;
    if (refusal !== undefined) return hangUp(socket, refusal);
    // Node 26 puts a stream between where an upgrade announces a body; no worker sends one.
    if (socket !== request.socket) return hangUp(socket, '400 Bad Request');
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      const slot = freeSlot(connections);
      const frames = new FrameSocket(webSocket, request.socket, 'server', options.maxFrameBytes);
      const gone = () => connections.delete(slot);
      const connection = new Connection(slot, frames, events, options.openMemory, gone);
      connections.set(slot, connection);
      events.connected(connection);
    });
  });
  await bind(http, options);
  return {
    host: options.host,
    port: portOf(http) ?? options.port,
    get unauthorized() {
      return unauthorized;
    },
    close: () => closeServer(http, connections),
  };
}

function answer(options: ServerOptions, request: IncomingMessage, response: ServerResponse): void {
  if (request.method !== 'GET') return reply(response, 405, { Allow: 'GET' }, 'only GET is answered here\n');
  const description = options.description();
  if (description === undefined)
    return reply(response, 503, { 'Retry-After': '1' }, 'the run is being set up\n');
  if (request.url === '/run')
    return reply(response, 200, { 'Content-Type': 'application/json' }, JSON.stringify(description));
  if (request.url === `/data/${options.dataset.digest}`)
    return sendData(options.dataset.bytes, request, response);
  reply(response, 404, {}, 'there are /run, /data/<sha256> and the upgrade at /worker\n');
}

/** The dataset, or from `Range: bytes=N-` on what a broken download still lacks. */
function sendData(bytes: Uint8Array, request: IncomingMessage, response: ServerResponse): void {
  const range = /^bytes=(\d{1,15})-$/.exec(request.headers.range ?? '')?.[1];
  const start = range === undefined ? 0 : Number(range);
  if (start >= bytes.length) return reply(response, 416, { 'Content-Range': `bytes */${bytes.length}` }, '');
  const partial =
    range === undefined ? {} : { 'Content-Range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(range === undefined ? 200 : 206, {
    ...{
      'Content-Type': 'application/octet-stream',
      'Content-Length': bytes.length - start,
      'Accept-Ranges': 'bytes',
    },
    ...partial,
  });
  // Piece by piece, as it is read: TLS would encrypt all of it at once, and keep that.
  pipeline(Readable.from(piecesOf(bytes.subarray(start)), { highWaterMark: 1 }), response, () => undefined);
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += limits.DATA_PIECE_BYTES)
    yield bytes.subarray(at, at + limits.DATA_PIECE_BYTES);
}

function reply(
  response: ServerResponse,
  status: number,
  headers: Record<string, string>,
  body: string,
): void {
  response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function refuseUpgrade({ token, description }: ServerOptions, request: IncomingMessage): string | undefined {
  if (!isAuthorized(token, request)) return UNAUTHORIZED;
  if (description() === undefined) return '503 Service Unavailable';
  return request.url === '/worker' ? undefined : '404 Not Found';
}

function hangUp(socket: Duplex, status: string): void {
  socket.on('error', () => socket.destroy());
  // Node gives up its limits with an upgrade: whoever does not close its half would stay for ever.
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}

function freeSlot(connections: ReadonlyMap<number, Connection>): number {
  let slot = 0;
  while (connections.has(slot)) slot += 1;
  return slot;
}

async function bind(http: BoundedServer, { host, port }: ServerOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    // One that comes later (no more file descriptors) costs a connection, not the run.
    http.on('error', (error: NodeJS.ErrnoException) => reject(bindError(error, host, port)));
    http.listen(port, host, resolve);
  });
}

function bindError(error: NodeJS.ErrnoException, host: string, port: number): ClusterError {
  const cause = { cause: error };
  if (error.code === 'EADDRINUSE') {
    return new ClusterError('ADDRESS', `port ${port} on ${host} is in use (--port)`, {
      fix: 'choose another --port, or 0 for any free one',
      ...cause,
    });
  }
  return new ClusterError('ADDRESS', `cannot listen on ${host}:${port}: ${error.message}`, {
    fix: 'choose another --host or --port',
    ...cause,
  });
}

async function closeServer(http: BoundedServer, connections: ReadonlyMap<number, Connection>): Promise<void> {
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  await Promise.all([...connections.values()].map((connection) => connection.closed));
  http.closeAllConnections();
  await closed;
}
