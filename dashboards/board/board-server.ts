import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { bind, pageFlags, type ListenAddress } from '../../coordinator/network/bind-port.ts';
import {
  createBoundedServer,
  type BoundedServer,
  type ServerTls,
} from '../../coordinator/network/http-server.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { setAfterEpochs } from '../../shared/evaluation/evaluated-set.ts';
import { METRICS_FILE } from '../../shared/files/run-layout.ts';
import * as limits from '../../shared/limits.ts';
import { MAX_BOARD_CURVES } from '../../shared/limits/board.ts';
import { visible, visibleJson } from '../../shared/printable.ts';
import { reachableAt } from '../../shared/wire/address.ts';
import { readPageFiles, type PageFiles } from '../server/page-files.ts';
import { PageGate } from '../server/page-gate.ts';
import { TEXT, type AccessRules } from '../server/responses.ts';
import type { BoardCurve } from './api.ts';
import { CurveFile } from './curve-file.ts';
import { mistakePairs, type LoadDataset } from './mistake-pairs.ts';
import { Recent } from './recent.ts';
import { evaluationOf } from './run-evaluation.ts';
import { RunPages } from './run-pages.ts';
import { RunsFolder, type ListedRun, type ReadRun } from './runs-folder.ts';
import { listFiles, readFileOf } from '../server/offered-files.ts';
import { Turns } from '../server/turns.ts';

export interface BoardOptions extends ListenAddress, AccessRules {
  readonly tls?: ServerTls | undefined;
  /** The folder with the runs. */
  readonly folder: string;
  readonly readRun: ReadRun;
  readonly loadDataset: LoadDataset;
  /** Called for a request that fails for a reason other than the files of a run. */
  readonly onDefect: (error: unknown) => void;
}

const JSON_TYPE = 'application/json';
const FILES = 'files/';

interface Curve {
  readonly file: CurveFile;
  /** The state of the file when it was read to its end. */
  readAt: string;
  read: BoardCurve | undefined;
}

/**
 * The HTTP server of the board. It answers only GET and HEAD requests for known paths and for runs
 * that are on the board, reads one run at a time, and never changes anything.
 */
export class BoardServer {
  readonly port: number;
  readonly url: string;
  readonly #gate: PageGate;
  readonly #files: PageFiles;
  readonly #options: BoardOptions;
  readonly #folder: RunsFolder;
  readonly #pages: RunPages;
  readonly #curves = new Recent<Curve>(MAX_BOARD_CURVES);
  readonly #turns = new Turns();

  private constructor(http: BoundedServer, port: number, files: PageFiles, options: BoardOptions) {
    this.port = port;
    const scheme = options.tls === undefined ? 'http' : 'https';
    this.url = `${scheme}://${reachableAt(options.host, port)}/`;
    this.#files = files;
    this.#options = options;
    this.#folder = new RunsFolder(options.folder, options.readRun);
    this.#pages = new RunPages(options.loadDataset);
    this.#gate = new PageGate(http, options, files.headers, (path, response) => {
      void this.#answer(path, response);
    });
  }

  /**
   * Rejects with an ADDRESS error if it cannot listen, and with a SETUP error if the page has not
   * been built.
   */
  static async open(options: BoardOptions): Promise<BoardServer> {
    const files = readPageFiles('board');
    const http = createBoundedServer(limits.MAX_NEWCOMERS + 2 * limits.MAX_PAGES, options.tls);
    const server = new BoardServer(http, await bind(http, options, pageFlags), files, options);
    // The first visitor then does not wait for all runs to be read; errors are in its answer.
    server.#turns.take(() => server.#folder.view()).catch(() => undefined);
    return server;
  }

  close(): Promise<void> {
    return this.#gate.close();
  }

  async #answer(path: string, response: ServerResponse): Promise<void> {
    try {
      await this.#route(path, response);
    } catch (error) {
      // A run's files may be damaged or vanish at any time; anything else is a bug.
      if (!(error instanceof ClusterError)) this.#options.onDefect(error);
      if (!response.headersSent) this.#refuse(response, 500, messageOf(error));
    }
  }

  async #route(path: string, response: ServerResponse): Promise<void> {
    const file = this.#files.get(path);
    if (file !== undefined) return this.#gate.responses.send(response, 200, file.type, file.body);
    if (path === '/healthz') return this.#gate.responses.send(response, 200, TEXT, 'ok\n');
    if (path === '/api/runs')
      return this.#json(response, await this.#turns.take(() => this.#folder.view()));
    const [place, ...names] = path.slice(1).split('/').map(decoded);
    if (place === 'runs') {
      const [name, ...rest] = names;
      const run = await this.#run(name);
      if (run !== undefined) return await this.#ownPage(run, rest.join('/'), response);
    } else if (place === 'api' && names[0] === 'runs') {
      const [, name, what, other] = names;
      const run = await this.#run(name);
      if (run !== undefined) return await this.#ofRun(run, [what, other, names.length], response);
    }
    this.#refuse(response, 404, 'not found');
  }

  /** A run that is on the board: no path but that of its own subfolder can be named. */
  async #run(name: string | undefined): Promise<ListedRun | undefined> {
    if (name === undefined) return undefined;
    await this.#turns.take(() => this.#folder.view());
    return this.#folder.run(name);
  }

  async #ofRun(
    run: ListedRun,
    [what, other, names]: readonly [string | undefined, string | undefined, number],
    response: ServerResponse,
  ): Promise<void> {
    if (what === 'curve' && names === 3)
      return this.#json(response, await this.#turns.take(() => this.#curveOf(run)));
    if (what === 'evaluation' && names === 3) {
      const evaluation = await this.#turns.take(() => evaluationOf(run));
      if (evaluation !== undefined) return this.#json(response, evaluation);
      return this.#refuse(response, 404, 'it has not been evaluated');
    }
    const second = what === 'mistakes' && names === 4 ? await this.#run(other) : undefined;
    if (second === undefined) return this.#refuse(response, 404, 'not found');
    const { loadDataset } = this.#options;
    const pairs = await this.#turns.take(() => mistakePairs([run, second], loadDataset));
    this.#json(response, pairs);
  }

  async #curveOf({ name, directory, files, configuration }: ListedRun): Promise<BoardCurve> {
    const known = this.#curves.get(name);
    if (known?.read !== undefined && known.readAt === files.curve) return known.read;
    const path = join(directory, METRICS_FILE);
    const curve = known ?? {
      file: new CurveFile(path, setAfterEpochs(configuration)),
      readAt: '',
      read: undefined,
    };
    this.#curves.set(name, curve);
    const read = await curve.file.read();
    curve.read = read.isPartial ? undefined : read;
    curve.readAt = files.curve;
    return read;
  }

  /** The run's own page, with the paths of its API, and its files. */
  async #ownPage(run: ListedRun, path: string, response: ServerResponse): Promise<void> {
    const { responses } = this.#gate;
    switch (path) {
      case '': {
        const { type, body } = this.#files.livePage;
        return responses.send(response, 200, type, body);
      }
      case 'api/run': {
        const source = await this.#turns.take(() => this.#pages.of(run));
        return this.#json(response, source.view());
      }
      case 'api/weights': {
        const weights = (await this.#turns.take(() => this.#pages.of(run))).weights();
        if (weights === undefined) return this.#refuse(response, 404, 'no weights are available');
        const { buffer, byteOffset, byteLength } = weights.weights;
        const bytes = Buffer.from(buffer, byteOffset, byteLength);
        const headers = { 'X-Step': String(weights.step) };
        return responses.send(response, 200, 'application/octet-stream', bytes, headers);
      }
      case 'api/files':
        return this.#json(response, await this.#turns.take(() => listFiles(run.directory)));
      default: {
        const name = path.startsWith(FILES) ? path.slice(FILES.length) : '';
        const found = await this.#turns.take(() => readFileOf(run.directory, name));
        if (found === undefined) return this.#refuse(response, 404, 'not found');
        return responses.send(response, 200, found.type, found.body, found.headers);
      }
    }
  }

  #json(response: ServerResponse, value: unknown): void {
    this.#gate.responses.send(response, 200, JSON_TYPE, visibleJson(value));
  }

  #refuse(response: ServerResponse, status: number, why: string): void {
    this.#gate.responses.send(response, status, TEXT, `${visible(why)}\n`);
  }
}

/** A part of a path; if it is not valid, a text that is neither a run's name nor a path. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '\0';
  }
}
