import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import type { EngineKind } from '../shared/engine-identity.ts';
import { ClusterError } from '../shared/errors.ts';
import { FrameSocket } from '../shared/wire/frame-socket.ts';
import { MAX_FRAME_HEAD_BYTES, frameCapacity } from '../shared/wire/frame.ts';
import * as limits from '../shared/limits.ts';
import { checkWorkerMemory } from '../shared/memory-needs.ts';
import { PROTOCOL } from '../shared/wire/messages.ts';
import { parameterCount } from '../shared/arithmetic/model-shape.ts';
import { updateFix } from '../shared/wire/other-version.ts';
import { workerPath } from '../shared/wire/proof.ts';
import {
  runDescriptionSchema,
  versionsSchema,
  type RunDescription,
  type Versions,
} from '../shared/wire/run-description.ts';
import { getOver, prepareRequest, type ProvenRequestOptions } from './proven-request.ts';
import type { Anchor } from './trust.ts';
import { connectionError } from './connection-errors.ts';
import { ARITHMETIC } from '../shared/arithmetic/version.ts';

export interface DialOptions {
  /** This worker's version of mnist-dist. */
  readonly version: string;
  /** The coordinator's ws:// or wss:// address. */
  readonly coordinator: URL;
  /** The certificates to trust in TLS connections. */
  readonly anchor: Anchor;
  /** Called on every attempt. */
  readonly token: () => string;
  readonly maxModelBytes: number;
  readonly maxDataBytes: number;
  /** Maximum memory that a run may use in this worker, including the engine. */
  readonly maxMemoryBytes: number;
  readonly engine: EngineKind;
  /** Time limit for downloading the whole dataset. */
  readonly dataLimitMilliseconds: number;
  /** Aborts requests when the worker ends. */
  readonly signal: AbortSignal;
}

/**
 * Fetches the run's description. Rejects before anything is loaded: with LIMIT if the run is too
 * large, with VERSION if the coordinator has a different version.
 */
export async function fetchDescription(options: DialOptions): Promise<RunDescription> {
  const response = await request(
    options,
    '/run',
    {},
    AbortSignal.timeout(limits.REQUEST_LIMIT_MILLISECONDS),
  );
  const text = await readBounded(options, response, limits.MAX_RUN_DESCRIPTION_BYTES);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(text).toString('utf8'));
  } catch (error) {
    throw new ClusterError('PROTOCOL', `${options.coordinator.href}run did not return JSON`, {
      cause: error,
    });
  }
  const versions = versionsSchema.safeParse(json);
  if (!versions.success)
    throw new ClusterError(
      'PROTOCOL',
      `${options.coordinator.href}run does not describe a run; is this a coordinator?`,
    );
  checkVersions(versions.data, options.version);
  const description = runDescriptionSchema.safeParse(json);
  if (!description.success)
    throw new ClusterError(
      'PROTOCOL',
      `the coordinator sent an invalid run description: ${description.error.message}`,
    );
  checkSizes(description.data, options);
  return description.data;
}

function checkVersions(theirs: Versions, version: string): void {
  if (theirs.protocol === PROTOCOL && theirs.arithmetic === ARITHMETIC) return;
  const ours = `protocol ${PROTOCOL}, arithmetic ${ARITHMETIC}`;
  const message =
    `the coordinator (mnist-dist ${theirs.version}) has protocol ${theirs.protocol}, ` +
    `arithmetic ${theirs.arithmetic}; this worker (mnist-dist ${version}) has ${ours}`;
  throw new ClusterError('VERSION', message, {
    fix: updateFix('worker', theirs.version),
  });
}

function checkSizes(run: RunDescription, options: DialOptions): void {
  const { maxModelBytes, maxDataBytes, maxMemoryBytes, engine } = options;
  // The announced frames may be smaller than the model needs.
  const frameBytes = Math.max(
    run.frame_bytes,
    frameCapacity(4 * parameterCount(run.configuration.model)),
  );
  if (frameBytes > maxModelBytes) {
    throw new ClusterError(
      'LIMIT',
      `the run's frames have ${frameBytes} bytes, more than ${maxModelBytes} ` +
        `(--max-model-bytes)`,
      { fix: 'raise --max-model-bytes, or use a smaller --hidden' },
    );
  }
  if (run.data_bytes > maxDataBytes) {
    throw new ClusterError(
      'LIMIT',
      `the run's dataset has ${run.data_bytes} bytes, more than ${maxDataBytes} ` +
        `(--max-data-bytes)`,
      { fix: 'raise --max-data-bytes' },
    );
  }
  checkWorkerMemory(run.configuration, engine, maxMemoryBytes);
}

/**
 * Fetches the dataset within the time limit. If the connection breaks, the download resumes,
 * provided that each request has transferred some bytes.
 */
export async function fetchDataset(options: DialOptions, run: RunDescription): Promise<Uint8Array> {
  const bytes = new Uint8Array(run.data_bytes);
  const limit = AbortSignal.timeout(options.dataLimitMilliseconds);
  let have = 0;
  for (let requests = 0; have < bytes.length; requests++) {
    const before = have;
    if (requests === limits.MAX_DATA_REQUESTS)
      throw new ClusterError(
        'UNREACHABLE',
        `the dataset download broke off ${requests} times, after ${have} of ` +
          `${bytes.length} bytes`,
      );
    try {
      const path = `/data/${run.configuration.dataset}`;
      const response = await request(options, path, { Range: `bytes=${have}-` }, limit);
      for await (const chunk of chunks(options, response)) {
        if (have + chunk.length > bytes.length)
          throw new ClusterError(
            'DATA',
            `the coordinator sent more data than the ${bytes.length} bytes that it announced`,
          );
        bytes.set(chunk, have);
        have += chunk.length;
      }
    } catch (error) {
      const isCut = error instanceof ClusterError && error.code === 'UNREACHABLE';
      if (!isCut || have === before || limit.aborted) throw error;
    }
    if (have === before)
      throw new ClusterError(
        'UNREACHABLE',
        `the dataset download broke off after ${have} of ${bytes.length} bytes`,
      );
  }
  return bytes;
}

/**
 * Opens a WebSocket at /worker; resolves once it is open. Frames are neither compressed nor
 * fragmented, and their mask consists of zeros.
 */
export async function connect(options: DialOptions, run: RunDescription): Promise<FrameSocket> {
  const { coordinator } = options;
  const maxPayload = run.frame_bytes + MAX_FRAME_HEAD_BYTES;
  const path = workerPath(run.run);
  const limit = AbortSignal.timeout(limits.REQUEST_LIMIT_MILLISECONDS);
  const proven = await prepareRequest(await requestOf(options, path, limit));
  // A variable instead of a literal argument, because ws's types lack some of these options.
  const settings = {
    agent: proven.agent,
    headers: proven.headers,
    perMessageDeflate: false,
    maxPayload,
    maxFragments: 1,
    maxBufferedChunks: Math.ceil(maxPayload / 512),
    closeTimeout: limits.CLOSE_LIMIT_MILLISECONDS,
    handshakeTimeout: limits.REQUEST_LIMIT_MILLISECONDS,
    // Masking protects proxies from scripts in browsers, which is irrelevant here. With a mask of
    // zeros, ws sends without copying.
    generateMask: (mask: Buffer) => void mask.fill(0),
  };
  return await new Promise((resolve, reject) => {
    const webSocket = new WebSocket(new URL(path, coordinator), settings);
    const check = (response: IncomingMessage): boolean => {
      try {
        proven.check(response);
        return true;
      } catch (error) {
        reject(connectionError(coordinator, error));
        webSocket.terminate();
        return false;
      }
    };
    webSocket.once('unexpected-response', (request, response) => {
      if (!check(response)) return void request.destroy();
      reject(
        new ClusterError(
          'PROTOCOL',
          `${coordinator.href} did not upgrade the connection; is this a coordinator?`,
        ),
      );
      webSocket.terminate();
    });
    webSocket.once('upgrade', (response) => {
      if (!check(response)) return;
      const { socket } = response;
      webSocket.once('open', () =>
        resolve(new FrameSocket(webSocket, socket, 'client', maxPayload)),
      );
    });
    webSocket.on('error', (error) => reject(connectionError(coordinator, error)));
  });
}

/**
 * Makes a GET request that proves that this worker knows the token. Rejects unless the response
 * proves that the coordinator knows it, too.
 */
async function request(
  options: DialOptions,
  path: string,
  headers: Record<string, string>,
  limit: AbortSignal,
): Promise<IncomingMessage> {
  const wanted = await requestOf(options, path, limit);
  const proven = await prepareRequest(wanted);
  try {
    const response = await getOver(wanted, proven.agent, { ...headers, ...proven.headers });
    proven.check(response);
    return response;
  } catch (error) {
    throw connectionError(options.coordinator, limit.aborted ? limit.reason : error);
  }
}

async function requestOf(
  { version, coordinator, anchor, signal, token }: DialOptions,
  path: string,
  limit: AbortSignal,
): Promise<ProvenRequestOptions> {
  try {
    // Undefined without TLS.
    const secure =
      coordinator.protocol === 'wss:' ? await anchor.options(coordinator, signal) : undefined;
    const either = AbortSignal.any([signal, limit]);
    return { version, coordinator, path, token, secure, signal: either };
  } catch (error) {
    throw connectionError(coordinator, error);
  }
}

async function readBounded(
  options: DialOptions,
  response: IncomingMessage,
  max: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks(options, response)) {
    length += chunk.length;
    if (length > max)
      throw new ClusterError('LIMIT', `a response from the coordinator has more than ${max} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

/** Throws UNREACHABLE if the response breaks off or takes too long. */
async function* chunks(
  { coordinator }: DialOptions,
  response: IncomingMessage,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) {
      // Chunks are bytes, because no encoding was set.
      if (chunk instanceof Uint8Array) yield chunk;
    }
  } catch (error) {
    throw connectionError(coordinator, error);
  }
}
