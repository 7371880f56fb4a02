import type { IncomingMessage, ServerResponse } from 'node:http';
import { isAuthorized, isToken } from '../../coordinator/network/authorization.ts';
import { isLoopback } from '../../shared/wire/address.ts';
import { MAX_PAGE_ANSWER_BYTES } from '../../shared/limits.ts';

export const TEXT = 'text/plain; charset=utf-8';
export const RETRY_LATER = { 'Retry-After': '1' };

type Answer = readonly [
  status: number,
  type: string,
  body: string | Buffer,
  headers?: Readonly<Record<string, string>>,
];

/** Sends responses, within a limit on the total size of unfinished responses. */
export class Responses {
  #bytes = 0;

  send(response: ServerResponse, ...answer: Answer): void {
    // The client has disconnected.
    if (response.destroyed) return;
    const length = Buffer.byteLength(answer[2]);
    if (this.#bytes + length > MAX_PAGE_ANSWER_BYTES)
      return write(response, 503, TEXT, 'too many responses are in progress\n', RETRY_LATER);
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

/** Which requests a listener answers. */
export interface AccessRules {
  readonly host: string;
  /** Required in every request except probes; if undefined, no request needs a token. */
  readonly token?: string | undefined;
}

/** An orchestrator's probes do not need a token: they reveal only liveness and readiness. */
const probes = new Set(['/healthz', '/readyz']);

export function isProbe(request: IncomingMessage): boolean {
  return probes.has(pathOf(request));
}

/** The path without the query string, which some probes and proxies add to bypass caches. */
export function pathOf({ url = '' }: IncomingMessage): string {
  return url.split('?', 1)[0] ?? '';
}

/**
 * Why a request is refused; undefined if it is allowed. Checking the Host header stops DNS
 * rebinding: if another site's host name resolves to this address, its requests contain that name.
 */
export function refusalOf(
  { host, token }: AccessRules,
  request: IncomingMessage,
): Refusal | undefined {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return {
      status: 405,
      text: 'only GET and HEAD are allowed\n',
      headers: { Allow: 'GET, HEAD', Connection: 'close' },
    };
  // Other sites may link to this page, but not send requests to it.
  if (
    request.headers['sec-fetch-site'] === 'cross-site' &&
    request.headers['sec-fetch-mode'] !== 'navigate'
  )
    return {
      status: 403,
      text: 'requests from other sites are not allowed\n',
      headers: { Connection: 'close' },
    };
  if (token !== undefined && !isProbe(request) && !hasToken(token, request))
    return {
      status: 401,
      text: 'a token is required: as a bearer token, or as the password in a browser\n',
      headers: { 'WWW-Authenticate': 'Basic realm="mnist-dist", Bearer', Connection: 'close' },
    };
  if (!isLoopback(host)) return undefined;
  const name = (request.headers.host ?? '').replace(/:\d+$/, '');
  if (isLoopback(name)) return undefined;
  return {
    status: 421,
    text: 'this page is only available on this machine: use localhost or 127.0.0.1\n',
    headers: { Connection: 'close' },
  };
}

/**
 * Accepts a bearer token, or the token as a password with any user name: browsers ask for a
 * password and send it with every request from the page.
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
