import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createBoundedServer, portOf } from '../coordinator/http-server.ts';
import { hostPort, isLoopback, reachableAt } from '../shared/address.ts';
import { ClusterError } from '../shared/errors.ts';
import * as limits from '../shared/limits.ts';
import { readPageFiles, type PageFiles } from './page-files.ts';
import { Pages } from './pages.ts';
import type { Source, Weights } from './source.ts';

export interface ListenerOptions {
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
  /** Take the next ports, one after the other, where this one is in use. */
  readonly isPortFree: boolean;
  readonly source: Source;
}

const TEXT = 'text/plain; charset=utf-8';

/**
 * The observation listener: the live page and what it reads, /metrics, /healthz and /readyz. It only answers GET, takes
 * nothing from outside but a path it knows, and changes nothing.
 */
export class Listener {
  readonly port: number;
  readonly url: string;
  readonly #http: Server;
  readonly #files: PageFiles;
  readonly #options: ListenerOptions;
  readonly #pages = new Pages();
  #timer: NodeJS.Timeout | undefined;
  #isClosing = false;
  #weights: { readonly at: number; readonly weights: Weights } | undefined;
  #scrapes = 0;
  #fetches = 0;
  #onRequest: () => void = () => undefined;
  readonly #routes = new Map<string, (response: ServerResponse) => void>([
    ['/healthz', (response) => reply(response, 200, TEXT, 'ok\n')],
    ['/readyz', (response) => this.#ready(response)],
    ['/metrics', (response) => void this.#scrape(response)],
    ['/api/run', (response) => this.#sendView(response)],
    ['/api/stream', (response) => this.#openStream(response)],
    ['/api/weights', (response) => this.#sendWeights(response)],
  ]);

  private constructor(http: Server, port: number, files: PageFiles, options: ListenerOptions) {
    this.#http = http;
    this.#files = files;
    this.port = port;
    this.url = `http://${reachableAt(options.host, port)}/`;
    this.#options = options;
    http.on('request', (request, response) => this.#answer(request, response));
    this.#turnLater();
  }

  /** Rejects with ADDRESS, or with SETUP where the page is not built. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const files = readPageFiles();
    // Besides the pages themselves, what they fetch.
    const http = createBoundedServer(2 * limits.MAX_PAGES);
    return new Listener(http, await bind(http, options), files, options);
  }

  /**
   * The run is over: the pages hear of it and have a moment to fetch the last weights; then one more scrape is waited for, for
   * at most so long, or until there is no time; then nobody listens any more.
   */
  async close(lingerMilliseconds: number, hurry?: AbortSignal): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#timer);
    // Whoever asks from now on gets the last ones.
    this.#weights = undefined;
    const pages = this.#pages.count;
    const [scrapes, fetches] = [this.#scrapes, this.#fetches];
    this.#turn();
    if (pages > 0)
      await this.#until(() => this.#fetches >= fetches + pages, limits.PAGE_FAREWELL_MILLISECONDS);
    await this.#until(() => this.#scrapes > scrapes, lingerMilliseconds, hurry);
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#pages.end();
    this.#http.closeIdleConnections();
    // Answers on their way arrive; whoever does not take them is cut off.
    const cut = setTimeout(() => this.#http.closeAllConnections(), limits.CLOSE_LIMIT_MILLISECONDS / 4);
    await closed;
    clearTimeout(cut);
  }

  /** Looks after every request, and gives up when the time is over, or when there is none. */
  async #until(isDone: () => boolean, milliseconds: number, hurry?: AbortSignal): Promise<void> {
    if (milliseconds === 0 || isDone() || hurry?.aborted === true) return;
    await new Promise<void>((resolve) => {
      const limit = setTimeout(resolve, milliseconds);
      const end = (): void => {
        clearTimeout(limit);
        resolve();
      };
      hurry?.addEventListener('abort', end);
      this.#onRequest = () => {
        if (isDone()) end();
      };
    });
  }

  #turnLater(): void {
    clearTimeout(this.#timer);
    if (this.#isClosing) return;
    this.#timer = setTimeout(() => {
      this.#turn();
      this.#turnLater();
    }, this.#pages.pause).unref();
  }

  #turn(): void {
    const update = this.#options.source.turn();
    if (update === undefined) this.#pages.beat();
    else this.#pages.send(update);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    response.once('finish', () => this.#onRequest());
    for (const [name, value] of Object.entries(this.#files.headers)) response.setHeader(name, value);
    const refusal = refusalOf(this.#options.host, request);
    if (refusal !== undefined) return reply(response, refusal.status, TEXT, refusal.text, refusal.headers);
    const url = request.url ?? '';
    const route = this.#routes.get(url);
    if (route !== undefined) return route(response);
    const file = this.#files.get(url);
    if (file === undefined) return reply(response, 404, TEXT, 'there is no such page\n');
    reply(response, 200, file.type, file.body);
  }

  #ready(response: ServerResponse): void {
    if (this.#options.source.isOpen) reply(response, 200, TEXT, 'ready\n');
    else notYet(response);
  }

  #sendView(response: ServerResponse): void {
    const view = this.#options.source.view();
    if (view === undefined) notYet(response);
    else reply(response, 200, 'application/json', JSON.stringify(view));
  }

  #openStream(response: ServerResponse): void {
    if (this.#pages.add(response)) return this.#turnLater();
    reply(response, 503, TEXT, `${limits.MAX_PAGES} pages are open already\n`);
  }

  async #scrape(response: ServerResponse): Promise<void> {
    const scraped = await this.#options.source.scrape();
    if (scraped === undefined) return notYet(response);
    this.#scrapes += 1;
    reply(response, 200, scraped.type, scraped.text);
  }

  /** One copy a second is made, however many ask. */
  #sendWeights(response: ServerResponse): void {
    const now = performance.now();
    if (this.#weights === undefined || now - this.#weights.at >= limits.PAGE_WEIGHTS_MILLISECONDS) {
      const weights = this.#options.source.weights();
      if (weights === undefined) return reply(response, 404, TEXT, 'there are no weights\n');
      this.#weights = { at: now, weights };
    }
    this.#fetches += 1;
    const { weights, step } = this.#weights.weights;
    const bytes = Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength);
    reply(response, 200, 'application/octet-stream', bytes, { 'X-Step': String(step) });
  }
}

interface Refusal {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** A page of another origin whose name was made to point here has its own name in Host. */
function refusalOf(host: string, request: IncomingMessage): Refusal | undefined {
  if (request.method !== 'GET')
    return {
      status: 405,
      text: 'only GET is answered here\n',
      headers: { Allow: 'GET', Connection: 'close' },
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

function notYet(response: ServerResponse): void {
  reply(response, 503, TEXT, 'the run is being set up\n', { 'Retry-After': '1' });
}

function reply(
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, {
    ...{ 'Content-Type': type, 'Content-Length': Buffer.byteLength(body), 'Cache-Control': 'no-store' },
    ...headers,
  });
  response.end(body);
}

async function bind(http: Server, { host, port, isPortFree }: ListenerOptions): Promise<number> {
  const last = isPortFree && port !== 0 ? Math.min(port + limits.MAX_PORT_TRIES, 65_535) : port;
  for (let candidate = port; ; candidate++) {
    const error = await tryPort(http, host, candidate);
    if (error === undefined) return portOf(http) ?? candidate;
    if (error.code !== 'EADDRINUSE' || candidate >= last) throw bindError(error, host, candidate);
  }
}

function tryPort(http: Server, host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    http.once('error', resolve);
    http.listen(port, host, () => {
      http.off('error', resolve);
      resolve(undefined);
    });
  });
}

function bindError(error: NodeJS.ErrnoException, host: string, port: number): ClusterError {
  const message =
    error.code === 'EADDRINUSE'
      ? `port ${port} on ${host} is in use (--http-port)`
      : `cannot listen on ${hostPort(host, port)}: ${error.message} (--http-host)`;
  return new ClusterError('ADDRESS', message, {
    fix: 'choose another --http-port, 0 for any free one, or --no-http for none',
    cause: error,
  });
}
