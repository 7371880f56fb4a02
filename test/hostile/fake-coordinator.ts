import { createServer, type ServerResponse } from 'node:http';
import { onTestFinished, vi } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { datasetOf } from '../../cli/processes/prepare-computation.ts';
import { Authenticator } from '../../coordinator/network/authenticator.ts';
import { ClusterError } from '../../shared/errors.ts';
import { decodeFrame, encodeHeader, frameCapacity } from '../../shared/wire/frame.ts';
import {
  parseMessage,
  PROTOCOL,
  workerMessage,
  type WorkerMessage,
} from '../../shared/wire/messages.ts';
import type { RunDescription } from '../../shared/wire/run-description.ts';
import { Client } from '../../worker/client.ts';
import { Computation } from '../../worker/computation.ts';
import type { DialOptions } from '../../worker/dial.ts';
import { Anchor } from '../../worker/trust.ts';
import { listening } from '../fixtures/listening.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { isProven, proveUpgrades } from '../fixtures/proven-client.ts';
import { TOKEN } from './honest.ts';
import { configurationOf, dataset, reference } from './target.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';

export const LARGEST_FRAME_BYTES = frameCapacity(4 * 6000);
export const LIMIT_BYTES = 8 * 1024 ** 2;

export const description: RunDescription = {
  protocol: PROTOCOL,
  arithmetic: ARITHMETIC,
  version: '0',
  run: 'r',
  configuration: configurationOf(),
  frame_bytes: LARGEST_FRAME_BYTES,
  data_bytes: dataset.bytes.length,
  class_names: [...dataset.classNames],
};
export const fence = { run: 'r', term: 1, step: 1 };
export const welcomed = {
  kind: 'welcome',
  run: 'r',
  term: 1,
  slot: 0,
  session: '0'.repeat(32),
};
export const WELCOME = encodeHeader(welcomed);

/** How the fake coordinator differs from an honest one. */
export interface Lies {
  readonly run?: (response: ServerResponse) => void;
  readonly data?: (response: ServerResponse) => void;
  /** Called instead of sending welcome. */
  readonly greet?: (socket: WebSocket) => void;
  /** Called when the worker is ready. */
  readonly ready?: (socket: WebSocket) => void;
}

/** How long the worker waits for the dataset, for another request, and in all; in milliseconds. */
interface Waits {
  readonly data?: number;
  readonly request?: number;
  readonly wait?: number;
}

/**
 * Connects a worker to a fake coordinator and resolves with the error that ended the worker;
 * undefined if it was told that the run is finished.
 */
export async function endOfWorker(
  lies: Lies,
  { data = 60_000, request = 10_000, wait = 60_000 }: Waits = {},
): Promise<ClusterError | undefined> {
  vi.stubEnv('MNIST_DIST_CACHE', temporaryFolder());
  onTestFinished(() => void vi.unstubAllEnvs());
  const stopping = new AbortController();
  const coordinator = new URL(`ws://127.0.0.1:${await startLiar(lies)}`);
  const dial: DialOptions = {
    version: '0.2.0',
    coordinator,
    token: () => TOKEN,
    anchor: new Anchor({ kind: 'system' }),
    signal: stopping.signal,
    maxModelBytes: LIMIT_BYTES,
    maxDataBytes: LIMIT_BYTES,
    requestLimitMilliseconds: request,
    dataLimitMilliseconds: data,
    maxMemoryBytes: 16 * LIMIT_BYTES,
    engine: 'wasm',
  };
  const settings = { name: 'w', version: '0', maxRetries: 1, maxWaitMilliseconds: wait };
  const client = new Client({
    dial,
    settings: { ...settings, prepareLimitMilliseconds: 60_000 },
    prepare: async (run) =>
      Computation.create(run.configuration, await datasetOf(run, dial, () => undefined), reference),
    log: () => undefined,
    random: () => 0,
    clock: () => performance.now(),
  });
  client.start();
  try {
    await client.done;
    return undefined;
  } catch (error) {
    if (error instanceof ClusterError) return error;
    throw error;
  }
}

/** Starts a fake coordinator that knows the token; resolves with its port. */
async function startLiar({ run, data, greet = welcome, ready }: Lies): Promise<number> {
  const authenticator = new Authenticator(TOKEN);
  const http = createServer((request, response) => {
    if (!isProven(authenticator, request, response)) return;
    if (request.url === '/run') return (run ?? answer(description))(response);
    if (data !== undefined) return data(response);
    response.end(dataset.bytes);
  });
  const webSockets = new WebSocketServer({ server: http });
  proveUpgrades(authenticator, webSockets);
  webSockets.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.on('message', (bytes) => {
      const { kind } = heard(bytes);
      if (kind === 'hello') greet(socket);
      if (kind === 'ready') ready?.(socket);
    });
  });
  onTestFinished(() => {
    for (const socket of webSockets.clients) socket.terminate();
  });
  return await listening(http);
}

function welcome(socket: WebSocket): void {
  socket.send(WELCOME);
}

export function answer(json: unknown): (response: ServerResponse) => void {
  return (response) => void response.end(typeof json === 'string' ? json : JSON.stringify(json));
}

function heard(bytes: unknown): WorkerMessage {
  if (!Buffer.isBuffer(bytes)) throw new Error('the worker did not send a whole frame');
  return parseMessage(workerMessage, decodeFrame(bytes).header);
}
