import type { IncomingMessage, ServerResponse } from 'node:http';
import { isAuthorized, isToken } from '../../coordinator/network/authorization.ts';
import { isLoopback } from '../../shared/wire/address.ts';
import { MAX_PAGE_ANSWER_BYTES } from '../../shared/limits.ts';

export const TEXT = 'text/plain; charset=utf-8';
export const AGAIN = { 'Retry-After': '1' };

type Answer = readonly [
  status: number,
  type: string,
  body: string | Buffer,
  headers?: Readonly<Record<string, string>>,
];

/** The answers that are on their way: whole ones, and no more of them than there is room for. */
export class Answers {
  #bytes = 0;

  send(response: ServerResponse, ...answer: Answer): void {
    // Whoever asked is gone.
    if (response.destroyed) return;
    const length = Buffer.byteLength(answer[2]);
    if (this.#bytes + length > MAX_PAGE_ANSWER_BYTES)
      return write(response, 503, TEXT, 'too many answers are on their way\n', AGAIN);
    this.#bytes += length;
    response.once('close', () => (this.#bytes -= length));
    write(response, ...answer);
  }
}

export interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What a listener is, as far as it decides whom it answers. */
export interface Door {
  readonly host: string;
  /** Whoever has it is answered, and nobody else; undefined: everybody who reaches it. */
  readonly token?: string | undefined;
}

/**
 * Probes of an orchestrator have no secret; they learn whether this process lives and its run is
 * open.
 */
const probes = new Set(['/healthz', '/readyz']);

export function isProbe(request: IncomingMessage): boolean {
  return probes.has(pathOf(request));
}

/** What is asked for, without the query string, which probes and proxies add against caches. */
export function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0] ?? '';
}

/**
 * Who is not answered. A page of another origin whose name was made to point here has its own name
 * in Host.
 */
export function refusalOf({ host, token }: Door, request: IncomingMessage): Refusal | undefined {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return {
      status: 405,
      text: 'only GET and HEAD are answered here\n',
      headers: { Allow: 'GET, HEAD', Connection: 'close' },
    };
  // Only a link may lead here from a page of another site.
  if (
    request.headers['sec-fetch-site'] === 'cross-site' &&
    request.headers['sec-fetch-mode'] !== 'navigate'
  )
    return {
      status: 403,
      text: 'pages of other sites may not read this\n',
      headers: { Connection: 'close' },
    };
  if (token !== undefined && !isProbe(request) && !hasToken(token, request))
    return {
      status: 401,
      text: 'a token is needed: as a bearer token, or in a browser as the password\n',
      headers: { 'WWW-Authenticate': 'Basic realm="mnist-dist", Bearer', Connection: 'close' },
    };
  if (!isLoopback(host)) return undefined;
  const name = (request.headers.host ?? '').replace(/:\d+$/, '');
  if (isLoopback(name)) return undefined;
  return {
    status: 421,
    text: 'this listener is only for this machine: ask for localhost or 127.0.0.1\n',
    headers: { Connection: 'close' },
  };
}

/**
 * As a bearer token, or as the password of anybody: browsers ask for one, and send it with all that
 * a page fetches.
 */
function hasToken(token: string, request: IncomingMessage): boolean {
  if (isAuthorized(token, request)) return true;
  const basic =
    /^Basic ([A-Za-z0-9+/=]{1,1024})$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const [, password = ''] =
    /^[^:]*:(.*)$/.exec(Buffer.from(basic, 'base64').toString('latin1')) ?? [];
  return isToken(token, password);
}

function write(response: ServerResponse, ...[status, type, body, headers]: Answer): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    ...headers,
  });
  response.end(body);
}
