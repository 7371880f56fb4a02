import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getSecure } from 'node:https';
import { WebSocket } from 'ws';
import { ClusterError } from '../shared/errors.ts';
import { FrameSocket } from '../shared/frame-socket.ts';
import { MAX_FRAME_HEAD_BYTES, roomBytes } from '../shared/frame.ts';
import * as limits from '../shared/limits.ts';
import { ARITHMETIC, PROTOCOL } from '../shared/messages.ts';
import { parameterCount } from '../shared/model.ts';
import { runDescriptionSchema, versionsSchema, type RunDescription } from '../shared/run-description.ts';
import type { Anchor } from './trust.ts';
import { connectionError } from './unreachable.ts';

export interface DialOptions {
  /** ws:// or wss:// address of the coordinator. */
  readonly coordinator: URL;
  /** Who is believed, where it speaks TLS. */
  readonly anchor: Anchor;
  /** Asked for at every attempt. */
  readonly token: () => string;
  readonly maxModelBytes: number;
  readonly maxDataBytes: number;
  /** How long all of a dataset may take. */
  readonly dataLimitMilliseconds: number;
  /** Ends what is being asked when the worker has to end. */
  readonly signal: AbortSignal;
}

/** Asks the coordinator what is to be trained. Refuses what is too large or another version before loading anything. */
export async function fetchDescription(options: DialOptions): Promise<RunDescription> {
  const response = await request(options, '/run', {}, AbortSignal.timeout(limits.REQUEST_LIMIT_MILLISECONDS));
  const text = await readBounded(options, response, limits.MAX_RUN_DESCRIPTION_BYTES);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(text).toString('utf8'));
  } catch (error) {
    throw new ClusterError('PROTOCOL', `${options.coordinator.href}run did not answer with JSON`, {
      cause: error,
    });
  }
  const versions = versionsSchema.safeParse(json);
  if (!versions.success)
    throw new ClusterError(
      'PROTOCOL',
      `${options.coordinator.href}run does not describe a run; is this a coordinator?`,
    );
  checkVersions(versions.data);
  const description = runDescriptionSchema.safeParse(json);
  if (!description.success)
    throw new ClusterError(
      'PROTOCOL',
      `the coordinator describes a run that this worker cannot read: ${description.error.message}`,
    );
  checkSizes(description.data, options);
  return description.data;
}

function checkVersions(theirs: { protocol: number; arithmetic: number; version: string }): void {
  if (theirs.protocol === PROTOCOL && theirs.arithmetic === ARITHMETIC) return;
  const ours = `protocol ${PROTOCOL}, arithmetic ${ARITHMETIC}`;
  const message = `the coordinator (mnist-dist ${theirs.version}) speaks protocol ${theirs.protocol}, arithmetic ${theirs.arithmetic}; this worker ${ours}`;
  throw new ClusterError('VERSION', message, { fix: 'install the same mnist-dist on both machines' });
}

function checkSizes(run: RunDescription, { maxModelBytes, maxDataBytes }: DialOptions): void {
  // What it says of its frames may be less than its model needs.
  const frameBytes = Math.max(run.frame_bytes, roomBytes(4 * parameterCount(run.configuration.model)));
  if (frameBytes > maxModelBytes) {
    throw new ClusterError(
      'LIMIT',
      `the run's frames have ${frameBytes} bytes, more than ${maxModelBytes} (--max-model-bytes)`,
      { fix: 'raise --max-model-bytes, or train a smaller --hidden' },
    );
  }
  if (run.data_bytes > maxDataBytes) {
    throw new ClusterError(
      'LIMIT',
      `the run's dataset has ${run.data_bytes} bytes, more than ${maxDataBytes} (--max-data-bytes)`,
      { fix: 'raise --max-data-bytes' },
    );
  }
}

/** Fetches the dataset, in limited time; a cut connection goes on where it broke, as long as something arrives. */
export async function fetchDataset(options: DialOptions, run: RunDescription): Promise<Uint8Array> {
  const bytes = new Uint8Array(run.data_bytes);
  const limit = AbortSignal.timeout(options.dataLimitMilliseconds);
  let have = 0;
  for (let requests = 0; have < bytes.length; requests++) {
    const before = have;
    if (requests === limits.MAX_DATA_REQUESTS)
      throw new ClusterError(
        'UNREACHABLE',
        `the dataset broke off ${requests} times, lastly after ${have} of ${bytes.length} bytes`,
      );
    try {
      const path = `/data/${run.configuration.dataset}`;
      const response = await request(options, path, { Range: `bytes=${have}-` }, limit);
      for await (const chunk of chunks(options, response)) {
        if (have + chunk.length > bytes.length)
          throw new ClusterError(
            'DATA',
            `the coordinator sends more than the ${bytes.length} bytes it announced`,
          );
        bytes.set(chunk, have);
        have += chunk.length;
      }
    } catch (error) {
      const isCut = error instanceof ClusterError && error.code === 'UNREACHABLE';
      if (!isCut || have === before || limit.aborted) throw error;
    }
    if (have === before)
      throw new ClusterError('UNREACHABLE', `the dataset broke off after ${have} of ${bytes.length} bytes`);
  }
  return bytes;
}

/** The upgrade at /worker; resolves once open. Frames are never compressed, fragmented or masked with a real mask. */
export async function connect(options: DialOptions, run: RunDescription): Promise<FrameSocket> {
  const maxPayload = run.frame_bytes + MAX_FRAME_HEAD_BYTES;
  const webSocket = new WebSocket(new URL('/worker', options.coordinator), {
    ...(await secureOptions(options)),
    ...{
      perMessageDeflate: false,
      maxPayload,
      maxFragments: 1,
      maxBufferedChunks: Math.ceil(maxPayload / 512),
      closeTimeout: limits.CLOSE_LIMIT_MILLISECONDS,
    },
    headers: { Authorization: `Bearer ${options.token()}` },
    handshakeTimeout: limits.REQUEST_LIMIT_MILLISECONDS,
    // The mask protects careless proxies from browsers' scripts, not us; a mask of zeros lets ws send without a copy.
    generateMask: (mask) => void mask.fill(0),
  });
  return await new Promise((resolve, reject) => {
    webSocket.once('upgrade', ({ socket }) =>
      webSocket.once('open', () => resolve(new FrameSocket(webSocket, socket, 'client', maxPayload))),
    );
    webSocket.once('error', (error) => reject(connectionError(options.coordinator, error)));
  });
}

async function request(
  options: DialOptions,
  path: string,
  headers: Record<string, string>,
  limit: AbortSignal,
): Promise<IncomingMessage> {
  const { coordinator } = options;
  const signal = AbortSignal.any([options.signal, limit]);
  const url = new URL(path, coordinator.href.replace(/^ws/, 'http'));
  let response: IncomingMessage;
  try {
    const secure = await secureOptions(options);
    response = await new Promise((resolve, reject) => {
      const get = secure === undefined ? getPlain : getSecure;
      const authorized = { ...headers, Authorization: `Bearer ${options.token()}` };
      get(url, { ...secure, headers: authorized, signal, agent: false }, resolve).on('error', reject);
    });
  } catch (error) {
    throw connectionError(coordinator, limit.aborted ? limit.reason : error);
  }
  const { statusCode: status = 0 } = response;
  if (status >= 200 && status < 300) return response;
  response.destroy();
  if (status === 401) {
    throw new ClusterError('UNAUTHORIZED', `${coordinator.origin} refuses this worker's token`, {
      fix: "give the coordinator's token by --token-file or MNIST_DIST_TOKEN, or join with the string that it prints now",
    });
  }
  if (status === 503)
    throw new ClusterError(
      'UNREACHABLE',
      `the coordinator at ${coordinator.origin} is still setting up its run`,
    );
  throw new ClusterError('PROTOCOL', `${url.href} answered ${status}; is this a coordinator?`);
}

/** Undefined where TLS is not asked for. */
async function secureOptions({ coordinator, anchor, signal }: DialOptions) {
  if (coordinator.protocol !== 'wss:') return undefined;
  try {
    return await anchor.options(coordinator, signal);
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
    if (length > max) throw new ClusterError('LIMIT', `an answer of the coordinator exceeds ${max} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

/** Throws UNREACHABLE where the answer breaks off or takes too long. */
async function* chunks({ coordinator }: DialOptions, response: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) {
      // No encoding was set.
      if (chunk instanceof Uint8Array) yield chunk;
    }
  } catch (error) {
    throw connectionError(coordinator, error);
  }
}
