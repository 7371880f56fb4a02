import type { ServerResponse } from 'node:http';
import {
  createBoundedServer,
  type BoundedServer,
  type ServerTls,
} from '../../coordinator/network/http-server.ts';
import { reachableAt } from '../../shared/wire/address.ts';
import * as limits from '../../shared/limits.ts';
import { messageOf } from '../../shared/errors.ts';
import { visible, visibleJson } from '../../shared/printable.ts';
import { listFiles, readFileOf } from './offered-files.ts';
import { Turns } from './turns.ts';
import { RETRY_LATER, TEXT, type AccessRules, type Responses } from './responses.ts';
import { PageGate } from './page-gate.ts';
import { bind, pageFlags, type ListenAddress } from '../../coordinator/network/bind-port.ts';
import { readPageFiles, type PageFiles } from './page-files.ts';
import { PageStreams, STREAM } from './page-streams.ts';
import type { Source, Weights } from '../feed/source.ts';

const FILES = '/files/';

export interface ListenerOptions extends ListenAddress, AccessRules {
  readonly tls?: ServerTls | undefined;
  readonly source: Source;
  /**
   * Called once if reading the run throws; the listener then answers requests about the run with
   * status 500.
   */
  readonly onDefect: (error: unknown) => void;
}

/**
 * The HTTP server of the live page, its API, /metrics, /healthz and /readyz. It answers only GET
 * and HEAD requests for known paths, and never changes anything.
 */
export class Listener {
  readonly port: number;
  readonly url: string;
  readonly #gate: PageGate;
  readonly #files: PageFiles;
  readonly #options: ListenerOptions;
  readonly #pages = new PageStreams();
  /** One file at a time is read. */
  readonly #turns = new Turns();
  readonly #responses: Responses;
  #timer: NodeJS.Timeout | undefined;
  #isClosing = false;
  #isBroken = false;
  /** The encoded view, valid until the next turn. */
  #view: Buffer | undefined;
  #weights: { readonly at: number; readonly weights: Weights } | undefined;
  #scrapes = 0;
  #fetches = 0;
  #onRequest: () => void = () => undefined;
  /** Paths whose responses depend on the run. */
  readonly #routes = new Map<string, (response: ServerResponse) => void | Promise<void>>([
    ['/readyz', (response) => this.#ready(response)],
    ['/metrics', (response) => this.#scrape(response)],
    ['/api/run', (response) => this.#sendView(response)],
    ['/api/stream', (response) => this.#openStream(response)],
    ['/api/files', (response) => this.#sendFiles(response)],
    ['/api/weights', (response) => this.#sendWeights(response)],
  ]);

  private constructor(
    http: BoundedServer,
    port: number,
    files: PageFiles,
    options: ListenerOptions,
  ) {
    // Runs before the response is sent, which emits `finish` later.
    http.on('request', (_, response) => response.once('finish', () => this.#onRequest()));
    this.#gate = new PageGate(http, options, files.headers, (path, response) =>
      this.#answer(path, response),
    );
    this.#responses = this.#gate.responses;
    this.#files = files;
    this.port = port;
    const scheme = options.tls === undefined ? 'http' : 'https';
    this.url = `${scheme}://${reachableAt(options.host, port)}/`;
    this.#options = options;
    this.#turnLater();
  }

  /**
   * Rejects with an ADDRESS error if it cannot listen, and with a SETUP error if the page has not
   * been built.
   */
  static async open(options: ListenerOptions): Promise<Listener> {
    const files = readPageFiles();
    // Each page needs one connection for its stream and one for fetching files.
    const http = createBoundedServer(limits.MAX_NEWCOMERS + 2 * limits.MAX_PAGES, options.tls);
    return new Listener(http, await bind(http, options, pageFlags), files, options);
  }

  /**
   * Shuts the server down after the run: sends the last update, waits briefly for the pages to
   * fetch the final weights, then waits up to `lingerMilliseconds` for one more scrape. Aborting
   * `hurry` ends that last wait.
   */
  async close(lingerMilliseconds: number, hurry?: AbortSignal): Promise<void> {
    this.#isClosing = true;
    clearTimeout(this.#timer);
    // The next request gets the final weights.
    this.#weights = undefined;
    const pages = this.#pages.count;
    const [scrapes, fetches] = [this.#scrapes, this.#fetches];
    this.#turn();
    if (pages > 0)
      await this.#until(() => this.#fetches >= fetches + pages, limits.PAGE_FAREWELL_MILLISECONDS);
    // A broken listener does not serve metrics.
    if (!this.#isBroken)
      await this.#until(() => this.#scrapes > scrapes, lingerMilliseconds, hurry);
    await this.#gate.close(() => this.#pages.end());
  }

  /**
   * Waits until a request makes `isDone` true, until `milliseconds` have passed, or until `hurry`
   * aborts.
   */
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

  /** Stops reading the run after hitting a bug: the dashboards must never stop the training. */
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

  #answer(path: string, response: ServerResponse): void {
    const route = this.#routes.get(path);
    if (route !== undefined) return void this.#take(route, response);
    if (path === '/healthz') return this.#responses.send(response, 200, TEXT, 'ok\n');
    if (path.startsWith(FILES)) {
      const name = path.slice(FILES.length);
      return void this.#take((to) => this.#sendFile(name, to), response);
    }
    const file = this.#files.get(path);
    if (file === undefined) return this.#responses.send(response, 404, TEXT, 'not found\n');
    this.#responses.send(response, 200, file.type, file.body);
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
      this.#responses.send(
        response,
        500,
        TEXT,
        "the dashboard of this run has failed; the coordinator's log contains the error\n",
      );
  }

  #ready(response: ServerResponse): void {
    const { isOpen, problem } = this.#options.source;
    if (!isOpen) return this.#notYet(response);
    if (problem === undefined) this.#responses.send(response, 200, TEXT, 'ready\n');
    else this.#responses.send(response, 503, TEXT, `${problem}\n`, RETRY_LATER);
  }

  #sendView(response: ServerResponse): void {
    this.#view ??= this.#encodeView();
    if (this.#view === undefined) this.#notYet(response);
    else this.#responses.send(response, 200, 'application/json', this.#view);
  }

  #encodeView(): Buffer | undefined {
    const view = this.#options.source.view();
    return view === undefined ? undefined : Buffer.from(visibleJson(view));
  }

  #openStream(response: ServerResponse): void {
    if (isHead(response)) return this.#responses.send(response, 200, STREAM, '');
    if (this.#pages.add(response)) return this.#turnLater();
    this.#responses.send(response, 503, TEXT, `${limits.MAX_PAGES} pages are already open\n`);
  }

  async #scrape(response: ServerResponse): Promise<void> {
    const { source } = this.#options;
    const scraped = await source.scrape();
    if (scraped === undefined)
      return source.isOpen
        ? this.#responses.send(response, 404, TEXT, 'a recorded run has no metrics\n')
        : this.#notYet(response);
    if (!isHead(response)) this.#scrapes += 1;
    this.#responses.send(response, 200, scraped.type, scraped.text);
  }

  #sendFiles(response: ServerResponse): Promise<void> {
    return this.#read(response, async (directory) => {
      const files = visibleJson(await listFiles(directory));
      this.#responses.send(response, 200, 'application/json', files);
    });
  }

  #sendFile(name: string, response: ServerResponse): Promise<void> {
    return this.#read(response, async (directory) => {
      const file = await readFileOf(directory, name);
      if (file === undefined) this.#responses.send(response, 404, TEXT, 'not found\n');
      else this.#responses.send(response, 200, file.type, file.body, file.headers);
    });
  }

  /** Answers from the run directory, whose files may be damaged or vanish at any time. */
  async #read(
    response: ServerResponse,
    answer: (directory: string) => Promise<void>,
  ): Promise<void> {
    const { directory } = this.#options.source;
    if (directory === undefined) return this.#notYet(response);
    try {
      await this.#turns.take(() => answer(directory));
    } catch (error) {
      this.#responses.send(response, 500, TEXT, `${visible(messageOf(error))}\n`);
    }
  }

  /** Copies the weights at most once per second. */
  #sendWeights(response: ServerResponse): void {
    const now = performance.now();
    if (this.#weights === undefined || now - this.#weights.at >= limits.PAGE_WEIGHTS_MILLISECONDS) {
      const weights = this.#options.source.weights();
      if (weights === undefined)
        return this.#responses.send(response, 404, TEXT, 'no weights are available\n');
      this.#weights = { at: now, weights };
    }
    if (!isHead(response)) this.#fetches += 1;
    const { weights, step } = this.#weights.weights;
    const bytes = Buffer.from(weights.buffer, weights.byteOffset, weights.byteLength);
    this.#responses.send(response, 200, 'application/octet-stream', bytes, {
      'X-Step': String(step),
    });
  }

  #notYet(response: ServerResponse): void {
    this.#responses.send(response, 503, TEXT, 'the run is not open yet\n', RETRY_LATER);
  }
}

/** Whether the request is a HEAD, which does not count as a fetch. */
function isHead({ req }: ServerResponse): boolean {
  return req.method === 'HEAD';
}
