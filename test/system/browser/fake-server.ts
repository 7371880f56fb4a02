import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { RunView, Update } from '../../../dashboards/feed/api.ts';
import { readPageFiles } from '../../../dashboards/server/page-files.ts';

/** A coordinator's fake page listener: it serves the real page and a fake run. */
export interface StandIn {
  readonly url: string;
  /**
   * The response to GET /api/run. If it is undefined, the server hangs up on every request for
   * data, as if no coordinator were listening.
   */
  view: RunView | undefined;
  /** The response to GET /api/weights. */
  weights: { readonly step: number; readonly values: Float32Array } | undefined;
  /** Every path that was requested, with the time in milliseconds. */
  readonly requests: { readonly path: string; readonly at: number }[];
  streams(): number;
  /** Sends an update to all streams; does not change the view. */
  send(update: Update): void;
  breakStreams(): void;
  close(): Promise<void>;
}

export async function standIn(view: RunView): Promise<StandIn> {
  const page = readPageFiles();
  const streams = new Set<ServerResponse>();
  const requests: StandIn['requests'] = [];
  const server = createServer((request, response) => answer(request, response));
  const state: Pick<StandIn, 'view' | 'weights'> = { view, weights: undefined };

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '/';
    requests.push({ path, at: performance.now() });
    const file = page.get(path);
    if (file !== undefined) {
      response.writeHead(200, { ...page.headers, 'Content-Type': file.type });
      return void response.end(file.body);
    }
    if (state.view === undefined) return void request.socket.destroy();
    if (path === '/api/run') {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      return void response.end(JSON.stringify(state.view));
    }
    if (path === '/api/files') {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      return void response.end(JSON.stringify([{ path: 'run.json', bytes: 2345 }]));
    }
    if (path === '/api/stream') return follow(response);
    if (path === '/api/weights' && state.weights !== undefined) {
      const { step, values } = state.weights;
      response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'X-Step': step });
      return void response.end(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
    }
    response.writeHead(404).end();
  }

  function follow(response: ServerResponse): void {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    response.write(': here\n\n');
    streams.add(response);
    response.once('close', () => streams.delete(response));
  }

  const breakStreams = () => {
    for (const response of streams) response.destroy();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}/`,
    requests,
    breakStreams,
    streams: () => streams.size,
    send: (update: Update) => {
      for (const response of streams) response.write(`data: ${JSON.stringify(update)}\n\n`);
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
}
