import type { Agent, IncomingMessage } from 'node:http';
import { Agent as SecureAgent, get as getSecure } from 'node:https';
import { ClusterError } from '../shared/errors.ts';
import { MAX_CHALLENGE_TEXT_BYTES } from '../shared/limits.ts';
import {
  answerHeader,
  channelOf,
  isSameProof,
  newNonce,
  nonceOfChallenge,
  proofOf,
  proofOfConfirmation,
} from '../shared/wire/proof.ts';
import { PROTOCOL } from '../shared/wire/protocol.ts';
import { updateFix } from '../shared/wire/other-version.ts';
import type { SecureOptions } from './trust.ts';
import { connectionError } from './connection-errors.ts';
import { ConnectionProgress } from './connection-progress.ts';

// An import evaluates every property of a module, and http.WebSocket loads undici from Node 22 on,
// which takes half as long as starting Node.
const { Agent: PlainAgent, get: getPlain } = process.getBuiltinModule('node:http');

export interface ProvenRequestOptions {
  /** This worker's version of mnist-dist. */
  readonly version: string;
  readonly coordinator: URL;
  readonly path: string;
  /**
   * Called once the coordinator has answered: a coordinator on this machine writes its token before
   * it accepts the first connection.
   */
  readonly token: () => string;
  /** Undefined without TLS. */
  readonly secure: SecureOptions | undefined;
  /** Follows the request's connection. */
  readonly progress: ConnectionProgress;
  readonly signal: AbortSignal;
}

/**
 * Everything that the request after a challenge needs. That request must use the challenge's
 * connection.
 */
export interface ProvenRequest {
  readonly agent: Agent;
  readonly headers: Record<string, string>;
  /**
   * Throws the error from `refusalOf` unless the coordinator proved that it knows the token and
   * accepted the request.
   */
  check(response: IncomingMessage): void;
}

/**
 * Requests a challenge and prepares the proof that this worker knows the token
 * (shared/wire/proof.ts). The token itself is never sent. Rejects with VERSION or PROTOCOL if the
 * peer does not send a challenge, with UNAUTHORIZED if this worker has no token, or with a
 * connection error.
 */
export async function prepareRequest(options: ProvenRequestOptions): Promise<ProvenRequest> {
  const { coordinator, secure, progress, signal } = options;
  const url = urlOf(options);
  const agent = oneConnection(
    secure === undefined ? new PlainAgent(AGENT) : new SecureAgent(AGENT),
  );
  try {
    const response = await getOver(options, agent, {});
    const channel = channelOf(response.socket);
    await readText(response, coordinator);
    const coordinatorNonce = nonceOfChallenge(response.headers['www-authenticate']);
    if (response.statusCode !== 401 || coordinatorNonce === undefined)
      throw strangerOf(response, url, options.version);
    const token = options.token();
    if (token === '') throw missingToken(coordinator);
    const exchange = {
      coordinatorNonce,
      workerNonce: newNonce(),
      channel,
      target: `GET ${url.pathname}`,
    };
    const expected = proofOf(token, 'coordinator', exchange);
    return {
      agent,
      headers: {
        Authorization: answerHeader(exchange.workerNonce, proofOf(token, 'worker', exchange)),
      },
      check: (answer) => {
        const error = refusalOf(answer, expected, url);
        if (error === undefined) return;
        agent.destroy();
        throw error;
      },
    };
  } catch (error) {
    agent.destroy();
    const reason: unknown = signal.aborted ? signal.reason : error;
    throw connectionError(coordinator, reason, progress.stage, secure?.ca);
  }
}

/**
 * Whether the process at this address asks for a proof or, as in mnist-dist 0.1, for the token, as
 * a coordinator without TLS does.
 */
export async function isChallenged(coordinator: URL, signal: AbortSignal): Promise<boolean> {
  const agent = new PlainAgent();
  const progress = new ConnectionProgress(coordinator);
  const request = { coordinator, path: '/run', secure: undefined, progress, signal };
  try {
    const { statusCode } = await getOver(request, agent, {});
    return statusCode === 401;
  } catch {
    return false;
  } finally {
    agent.destroy();
  }
}

/**
 * Makes one GET request on the agent's connection and resolves with the response once its headers
 * have arrived. Rejects with a connection error.
 */
export async function getOver(
  { secure, progress, signal, ...options }: Omit<ProvenRequestOptions, 'version' | 'token'>,
  agent: Agent,
  headers: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  const get = secure === undefined ? getPlain : getSecure;
  return await new Promise<IncomingMessage>((resolve, reject) => {
    const request = get(urlOf(options), { ...secure, headers, signal, agent }, resolve);
    request.on('socket', (socket) => progress.watch(socket));
    request.on('error', reject);
    // If the peer sends an upgrade that was not requested, Node closes the connection without an
    // error.
    request.on('close', () => reject(new Error('the connection was closed without a response')));
  });
}

function urlOf({ coordinator, path }: Pick<ProvenRequestOptions, 'coordinator' | 'path'>): URL {
  return new URL(path, coordinator.href.replace(/^ws/, 'http'));
}

const AGENT = { keepAlive: true, maxSockets: 1 } as const;

/** Limits an agent to one connection, since a challenge is valid only on its own connection. */
function oneConnection(agent: Agent): Agent {
  const create = agent.createConnection.bind(agent);
  let isUsed = false;
  // All requests use this connection, regardless of their options.
  agent.getName = () => '';
  agent.createConnection = (options, callback) => {
    if (!isUsed) {
      isUsed = true;
      return create(options, callback);
    }
    const error = new Error('the coordinator closed the connection after its challenge');
    if (callback !== undefined) Reflect.apply(callback, undefined, [error]);
    return undefined;
  };
  return agent;
}

/** Reads the rest of a response, so that the connection can be reused. */
async function readText(response: IncomingMessage, coordinator: URL): Promise<void> {
  let length = 0;
  for await (const chunk of response) {
    if (chunk instanceof Uint8Array) length += chunk.length;
    if (length > MAX_CHALLENGE_TEXT_BYTES)
      throw new ClusterError(
        'PROTOCOL',
        `${coordinator.href} answered with more than a challenge; is this a coordinator?`,
      );
  }
}

/**
 * The error for a response without a valid proof or with an error status; undefined if the response
 * is valid.
 */
function refusalOf(
  { statusCode = 0, headers }: IncomingMessage,
  expected: string,
  url: URL,
): ClusterError | undefined {
  const at = url.origin;
  if (statusCode === 401)
    return new ClusterError(
      'UNAUTHORIZED',
      `the coordinator at ${at} rejected this worker's token`,
      {
        fix: TOKEN_FIX,
      },
    );
  const proof = proofOfConfirmation(headers['authentication-info']);
  if (proof === undefined || !isSameProof(proof, expected))
    return new ClusterError(
      'UNAUTHORIZED',
      `the process at ${at} did not prove that it knows the token; it is not the coordinator`,
      {
        fix: 'check which process listens at this address, and whether the coordinator is running',
      },
    );
  switch (statusCode) {
    case 101:
    case 200:
    case 206:
      return undefined;
    case 429:
      return new ClusterError(
        'UNREACHABLE',
        `the coordinator at ${at} does not accept a connection from this address now: it has ` +
          'reached its maximum number of connections, in all or from this address, or this ' +
          'address dials too often',
      );
    case 503:
      return new ClusterError(
        'UNREACHABLE',
        `the coordinator at ${at} is still setting up its run`,
      );
    case 409:
      return new ClusterError('UNREACHABLE', `the coordinator at ${at} now serves a different run`);
    default:
      return new ClusterError(
        'PROTOCOL',
        `${url.href} answered ${statusCode}; is this a coordinator?`,
      );
  }
}

const TOKEN_FIX =
  "give the coordinator's token with --token-file or MNIST_DIST_TOKEN, or use its join string";

function missingToken(coordinator: URL): ClusterError {
  return new ClusterError(
    'UNAUTHORIZED',
    `the coordinator at ${coordinator.origin} requires a token, but this worker has none`,
    {
      fix: TOKEN_FIX,
    },
  );
}

/** The error for a peer that does not send a challenge. */
function strangerOf(
  { statusCode = 0, headers }: IncomingMessage,
  url: URL,
  version: string,
): ClusterError {
  if (statusCode === 401 && headers['www-authenticate'] === 'Bearer')
    return new ClusterError(
      'VERSION',
      `${url.origin} asks for the token itself (mnist-dist 0.1, protocol 2 or older), which this ` +
        `worker (mnist-dist ${version}, protocol ${PROTOCOL}) never sends`,
      { fix: updateFix('coordinator', version) },
    );
  return new ClusterError('PROTOCOL', `${url.href} answered ${statusCode}; is this a coordinator?`);
}
