import { Agent as PlainAgent, get as getPlain, type IncomingMessage } from 'node:http';
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
import type { SecureOptions } from './trust.ts';
import { connectionError } from './connection-errors.ts';

export interface ProvenRequestOptions {
  readonly coordinator: URL;
  readonly path: string;
  /** Asked for once the coordinator listens: one on this machine leaves its token right before. */
  readonly token: () => string;
  /** Undefined without TLS. */
  readonly secure: SecureOptions | undefined;
  readonly signal: AbortSignal;
}

/**
 * What the request that follows a challenge is made with, on the connection that the challenge came
 * over.
 */
export interface ProvenRequest {
  readonly agent: PlainAgent;
  readonly headers: Record<string, string>;
  /**
   * Throws as `refusalOf` says, unless the coordinator proved that it knows the token and has what
   * was asked for.
   */
  check(response: IncomingMessage): void;
}

/**
 * Asks for a challenge, and proves that this worker knows the token (shared/wire/proof.ts). The
 * token itself is sent to no peer. Rejects with UNAUTHORIZED, VERSION or PROTOCOL where what
 * listens there gives no challenge, or as connections fail.
 */
export async function prepareRequest(options: ProvenRequestOptions): Promise<ProvenRequest> {
  const { coordinator, secure, signal } = options;
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
      throw strangerOf(response, url);
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
    throw connectionError(coordinator, signal.aborted ? signal.reason : error);
  }
}

/**
 * One GET over the connection of this agent, up to the head of its answer. Rejects as connections
 * fail.
 */
export async function getOver(
  { secure, signal, ...options }: ProvenRequestOptions,
  agent: PlainAgent,
  headers: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  const get = secure === undefined ? getPlain : getSecure;
  return await new Promise<IncomingMessage>((resolve, reject) => {
    const request = get(urlOf(options), { ...secure, headers, signal, agent }, resolve);
    request.on('error', reject);
    // An upgrade that was not asked for is no answer: Node closes its connection, and reports no
    // error.
    request.on('close', () => reject(new Error('the connection was closed without an answer')));
  });
}

function urlOf({ coordinator, path }: Pick<ProvenRequestOptions, 'coordinator' | 'path'>): URL {
  return new URL(path, coordinator.href.replace(/^ws/, 'http'));
}

const AGENT = { keepAlive: true, maxSockets: 1 } as const;

/** A challenge counts on its connection only. */
function oneConnection(agent: PlainAgent): PlainAgent {
  const create = agent.createConnection.bind(agent);
  let isUsed = false;
  // Whatever options the next request comes with, it takes the connection that there is.
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

/** Reads on to the end, which frees the connection for the next request. */
async function readText(response: IncomingMessage, coordinator: URL): Promise<void> {
  let length = 0;
  for await (const chunk of response) {
    if (chunk instanceof Uint8Array) length += chunk.length;
    if (length > MAX_CHALLENGE_TEXT_BYTES)
      throw new ClusterError(
        'PROTOCOL',
        `${coordinator.href} answers with more than a challenge; is this a coordinator?`,
      );
  }
}

/** Why this answer is not a coordinator's to a request with a proof; undefined where it is. */
function refusalOf(
  { statusCode = 0, headers }: IncomingMessage,
  expected: string,
  url: URL,
): ClusterError | undefined {
  const at = url.origin;
  if (statusCode === 401)
    return new ClusterError('UNAUTHORIZED', `${at} refuses this worker's token`, {
      fix: TOKEN_FIX,
    });
  const proof = proofOfConfirmation(headers['authentication-info']);
  if (proof === undefined || !isSameProof(proof, expected))
    return new ClusterError(
      'UNAUTHORIZED',
      `what listens at ${at} did not prove that it knows the token: it is another process than the coordinator`,
      { fix: 'look at which process listens there, and whether the coordinator runs' },
    );
  switch (statusCode) {
    case 101:
    case 200:
    case 206:
      return undefined;
    case 429:
      return new ClusterError(
        'UNREACHABLE',
        `the coordinator at ${at} has all the connections that it takes`,
      );
    case 503:
      return new ClusterError(
        'UNREACHABLE',
        `the coordinator at ${at} is still setting up its run`,
      );
    case 409:
      return new ClusterError('UNREACHABLE', `the coordinator at ${at} has turned to another run`);
    default:
      return new ClusterError(
        'PROTOCOL',
        `${url.href} answered ${statusCode}; is this a coordinator?`,
      );
  }
}

const TOKEN_FIX =
  "give the coordinator's token by --token-file or MNIST_DIST_TOKEN, or join with the string that it prints now";

function missingToken(coordinator: URL): ClusterError {
  return new ClusterError(
    'UNAUTHORIZED',
    `${coordinator.origin} asks for a token, and this worker has none`,
    {
      fix: TOKEN_FIX,
    },
  );
}

/** What listens there does not ask for a proof. */
function strangerOf({ statusCode = 0, headers }: IncomingMessage, url: URL): ClusterError {
  if (statusCode === 401 && headers['www-authenticate'] === 'Bearer')
    return new ClusterError(
      'VERSION',
      `${url.origin} asks for the token itself, as coordinators of protocol 2 and older do; this worker does not send it`,
      { fix: 'install the same mnist-dist on both machines' },
    );
  return new ClusterError('PROTOCOL', `${url.href} answered ${statusCode}; is this a coordinator?`);
}
