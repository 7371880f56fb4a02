import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { ClusterError } from '../shared/errors.ts';
import * as limits from '../shared/limits.ts';
import type { RunDescription } from '../shared/wire/run-description.ts';
import { connectionError } from './connection-errors.ts';
import { ConnectionProgress } from './connection-progress.ts';
import type { RunLimits } from './parse-description.ts';
import { getOver, prepareRequest, type ProvenRequestOptions } from './proven-request.ts';
import type { Anchor } from './trust.ts';

export interface DialOptions extends RunLimits {
  /** The certificates to trust in TLS connections. */
  readonly anchor: Anchor;
  /** Called on every attempt. */
  readonly token: () => string;
  /** Time limit for each request but that of the dataset. */
  readonly requestLimitMilliseconds: number;
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
  const limit = AbortSignal.timeout(options.requestLimitMilliseconds);
  const answer = request(options, '/run', {}, limit).then(async (response) =>
    readBounded(options, response, limits.MAX_RUN_DESCRIPTION_BYTES),
  );
  // The schemas load while the coordinator answers. Newer versions of Node load them synchronously,
  // so the request must already have been sent.
  const parsing = setImmediate().then(async () => import('./parse-description.ts'));
  const [text, { parseDescription }] = await Promise.all([answer, parsing]);
  return parseDescription(Buffer.from(text).toString('utf8'), options);
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
    const reason: unknown = limit.aborted ? limit.reason : error;
    throw connectionError(options.coordinator, reason, wanted.progress.stage);
  }
}

/**
 * Prepares the request for a path, including the certificates to trust. Rejects with a connection
 * error.
 */
export async function requestOf(
  { version, coordinator, anchor, signal, token }: DialOptions,
  path: string,
  limit: AbortSignal,
): Promise<ProvenRequestOptions> {
  const either = AbortSignal.any([signal, limit]);
  const progress = new ConnectionProgress(coordinator);
  try {
    // Undefined without TLS.
    const secure =
      coordinator.protocol === 'wss:'
        ? await anchor.options(coordinator, progress, either)
        : undefined;
    return { version, coordinator, path, token, secure, progress, signal: either };
  } catch (error) {
    throw connectionError(coordinator, limit.aborted ? limit.reason : error, progress.stage);
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
