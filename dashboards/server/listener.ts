import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  createBoundedServer,
  type BoundedServer,
  type ServerTls,
} from '../../coordinator/network/http-server.ts';
import { newcomerLimits, Newcomers } from '../../coordinator/network/newcomers.ts';
import { reachableAt } from '../../shared/wire/address.ts';
import * as limits from '../../shared/limits.ts';
import { visibleJson } from '../../shared/printable.ts';
import { AGAIN, Answers, isProbe, pathOf, refusalOf, TEXT, type Door } from './answers.ts';
import { bind, type ListenAddress } from '../../coordinator/network/bind-port.ts';
import { readPageFiles, type PageFiles } from './page-files.ts';
import { Pages, STREAM } from './pages.ts';
import type { Source, Weights } from '../feed/source.ts';

export interface ListenerOptions extends ListenAddress, Door {
  readonly tls?: ServerTls | undefined;
  readonly source: Source;
  /**
   * Called once, with what was thrown where the run is looked at; the listener goes on and says so
   * to whoever asks.
   */
  readonly onDefect: (error: unknown) => void;
}

/**
 * The observation listener: the live page and what it reads, /metrics, /healthz and /readyz. It
 * only answers GET and HEAD, takes nothing from outside but a path it knows, and changes nothing.
 */
export class Listener {
  readonly port: number;
  readonly url: string;
  readonly #http: BoundedServer;
  readonly #newcomers: Newcomers;
  readonly #files: PageFiles;
  readonly #options: ListenerOptions;
  readonly #pages = new Pages();
  readonly #answers = new Answers();
  #timer: NodeJS.Timeout | undefined;
  #isClosing = false;
  #isBroken = false;
  /** The view of this turn, for whoever asks until the next. */
  #view: Buffer | undefined;
  #weights: { readonly at: number; readonly weights: Weights } | undefined;
  #scrapes = 0;
  #fetches = 0;
  #onRequest: () => void = () => undefined;
  /** What is answered of the run. */
  readonly #routes = new Map<string, (response: ServerResponse) => void | Promise<void>>([
    ['/readyz', (response) => this.#ready(response)],
    ['/metrics', (response) => this.#scrape(response)],
    ['/api/run', (response) => this.#sendView(response)],
    ['/api/stream', (response) => this.#openStream(response)],
    ['/api/weights', (response) => this.#sendWeights(response)],
  ]);

  private constructor(
    http: BoundedServer,
    port: number,
    files: PageFiles,
    options: ListenerOptions,
  ) {
    this.#http = http;
    this.#newcomers = new Newcomers(http, newcomerLimits());
    this.#files = files;
    this.port = port;
    this.url = `${options.tls === undefined ? 'http' : 'https'}://${reachableAt(options.host, port)}/`;
    this.#options = options;
    http.on('request', (request, response) => this.#answer(request, response));
    this.#turnLater();
  }

  /** Rejects with ADDRESS, or with SETUP where the page is not built. */
  static async open(options: ListenerOptions): Promise<Listener> {
    const files = readPageFiles();
    // Besides the pages themselves, what they fetch.
    const http = createBoundedServer(limits.MAX_NEWCOMERS + 2 * limits.MAX_PAGES, options.tls);
    return new Listener(http, await bind(http, options), files, options);
  }

  /**
   * The run is over: the pages hear of it and have a moment to fetch the last weights; then one
   * more scrape is waited for, for at most so long, or until there is no time; then nobody listens
   * any more.
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
    // Nobody can be told anything any more.
    if (!this.#isBroken)
      await this.#until(() => this.#scrapes > scrapes, lingerMilliseconds, hurry);
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#pages.end();
    this.#http.closeIdleConnections();
    // Answers on their way arrive; whoever does not take them is cut off.
    const cut = setTimeout(
      () => this.#http.closeAllConnections(),
      limits.CLOSE_LIMIT_MILLISECONDS / 4,
    );
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

  /** Nothing is known of the run any more: nobody who only looks may end it. */
  fail(error: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#pages.end();
    this.#options.onDefect(error);
  }

  #turn(): void {
    this.#view = undefined;
    if (this.#isBroken) return;
    try {
      const update = this.#options.source.turn();
      if (update === undefined) this.#pages.beat();
      else this.#pages.send(update);
    } catch (error) {
      this.fail(error);
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    // A connection has one answer on its way, so that nobody can order more than is taken.
    if (response.socket === null) return void request.socket.destroy();
    response.once('finish', () => this.#onRequest());
    for (const [name, value] of Object.entries(this.#files.headers))
      response.setHeader(name, value);
    const refusal = refusalOf(this.#options, request);
    if (refusal !== undefined)
      return this.#answers.send(response, refusal.status, TEXT, refusal.text, refusal.headers);
    // Strangers may ask for the probes, and get no place by that.
    if (this.#options.token === undefined || !isProbe(request))
      this.#newcomers.release(request.socket);
    const path = pathOf(request);
    const route = this.#routes.get(path);
    if (route !== undefined) return void this.#take(route, response);
    if (path === '/healthz') return this.#answers.send(response, 200, TEXT, 'ok\n');
    const file = this.#files.get(path);
    if (file === undefined)
      return this.#answers.send(response, 404, TEXT, 'there is no such page\n');
    this.#answers.send(response, 200, file.type, file.body);
  }

  async #take(
    route: (response: ServerResponse) => void | Promise<void>,
    response: ServerResponse,
  ): Promise<void> {
    try {
      if (!this.#isBroken) await route(response);
    } catch (error) {
      this.fail(error);
    }
    if (this.#isBroken && !response.headersSent)
      this.#answers.send(
        response,
        500,
        TEXT,
        'what shows this run has failed; the log of the coordinator says how\n',
      );
  }

  #ready(response: ServerResponse): void {
    const { isOpen, problem } = this.#options.source;
    if (!isOpen) return this.#notYet(response);
    if (problem === undefined) this.#answers.send(response, 200, TEXT, 'ready\n');
    else this.#answers.send(response, 503, TEXT, `${problem}\n`, AGAIN);
  }

  #sendView(response: ServerResponse): void {
    this.#view ??= this.#encodeView();
    if (this.#view === undefined) this.#notYet(response);
    else this.#answers.send(response, 200, 'application/json', this.#view);
  }

  #encodeView(): Buffer | undefined {
    const view = this.#options.source.view();
    return view === undefined ? undefined : Buffer.from(visibleJson(view));
  }

  #openStream(response: ServerResponse): void {
    if (isHead(response)) return this.#answers.send(response, 200, STREAM, '');
    if (this.#pages.add(response)) return this.#turnLater();
    this.#answers.send(response, 503, TEXT, `${limits.MAX_PAGES} pages are open already\n`);
  }

  async #scrape(response: ServerResponse): Promise<void> {
    const { source } = this.#options;
    const scraped = await source.scrape();
    if (scraped === undefined)
      return source.isOpen
        ? this.#answers.send(response, 404, TEXT, 'a run that is over has no metrics\n')
        : this.#notYet(response);
    if (!isHead(response)) this.#scrapes += 1;
    this.#answers.send(response, 200, scraped.type, scraped.text);
  }

  /** One copy a second is made, however many ask. */
  #sendWeights(response: ServerResponse): void {
    const now = performance.now();
    if (this.#weights === undefined || now - this.#weights.at >= limits.PAGE_WEIGHTS_MILLISECONDS) {
      const weights = this.#options.source.weights();
      if (weights === undefined)
        return this.#answers.send(response, 404, TEXT, 'there are no weights\n');
      this.#weights = { at: now, weights };
    }
    if (!isHead(response)) this.#fetches += 1;
    const { weights, step } = this.#weights.weights;
    const bytes = Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength);
    this.#answers.send(response, 200, 'application/octet-stream', bytes, {
      'X-Step': String(step),
    });
  }

  #notYet(response: ServerResponse): void {
    this.#answers.send(response, 503, TEXT, 'the run is being set up\n', AGAIN);
  }
}

/** Whether only the head is asked for: then nothing was fetched. */
function isHead({ req }: ServerResponse): boolean {
  return req.method === 'HEAD';
}
