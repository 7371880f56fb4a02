import type { RunFile, RunView, Update } from '../feed/api.ts';
import type { StreamListener, Wire } from './follower.ts';
import { REQUEST_LIMIT_MILLISECONDS } from './page-limits.ts';
import type { Weights } from './weights.ts';

/**
 * The requests to the listener's paths that the page reads. Only this file parses responses.
 * The paths are relative, because the board serves the page of each run at a path of its own.
 */
export const browserWire: Wire = {
  fetchView: async () => {
    const response = await get('api/run');
    if (!response.ok) throw new Error(`/api/run answered ${response.status}`);
    return (await response.json()) as RunView;
  },
  openStream: (listener) => {
    const source = new EventSource('api/stream');
    listen(source, listener);
    return () => source.close();
  },
  later: (milliseconds, action) => void setTimeout(action, milliseconds),
};

/** Resolves to undefined while no weights are available. Rejects on an error status. */
export async function fetchWeights(): Promise<Weights | undefined> {
  const response = await get('api/weights');
  if (response.status === 404) return undefined;
  if (!response.ok) throw new Error(`/api/weights answered ${response.status}`);
  const values = new Float32Array(await response.arrayBuffer());
  return { step: Number(response.headers.get('X-Step')), values };
}

/** The files that the page links to. Rejects on an error status. */
export async function fetchFiles(): Promise<readonly RunFile[]> {
  const response = await get('api/files');
  if (!response.ok) throw new Error(`/api/files answered ${response.status}`);
  return (await response.json()) as RunFile[];
}

function listen(source: EventSource, listener: StreamListener): void {
  source.addEventListener('open', () => listener.opened());
  source.addEventListener('message', ({ data }: MessageEvent<string>) =>
    listener.updated(JSON.parse(data) as Update),
  );
  // EventSource reconnects on its own, but not after every HTTP status, and without fetching a new
  // view.
  source.addEventListener('error', () => listener.broken());
}

/** Sends a request with a time limit. */
export function get(path: string): Promise<Response> {
  const signal = AbortSignal.timeout(REQUEST_LIMIT_MILLISECONDS);
  return fetch(path, { signal, cache: 'no-store' });
}
