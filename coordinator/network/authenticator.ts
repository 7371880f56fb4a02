import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  challengeHeader,
  channelOf,
  confirmationHeader,
  isSameProof,
  newNonce,
  parseAnswer,
  proofOf,
} from '../../shared/wire/proof.ts';
import { isAuthorized } from './authorization.ts';

/** The result of authenticating a request, with the header values to send. */
export type Authentication =
  /** The first request on a connection; the next request may prove the token. */
  | { readonly kind: 'challenged'; readonly challenge: string }
  /** The peer knows the token; `confirmation` is the coordinator's own proof. */
  | { readonly kind: 'admitted'; readonly confirmation: string }
  /** A worker with protocol 2 or older, which sends the token itself; the token is correct. */
  | { readonly kind: 'outdated' }
  | { readonly kind: 'refused' };

/** Marks a nonce as used. */
const SPENT = '';

/**
 * Checks proofs of the token (shared/wire/proof.ts). Each connection gets one challenge and one
 * attempt, stored with the connection, so that unauthenticated peers cost no additional memory.
 */
export class Authenticator {
  readonly #token: string;
  readonly #nonces = new WeakMap<Duplex, string>();

  constructor(token: string) {
    this.#token = token;
  }

  authenticate(request: IncomingMessage): Authentication {
    const { socket, headers } = request;
    const coordinatorNonce = this.#nonces.get(socket);
    this.#nonces.set(socket, SPENT);
    if (headers.authorization === undefined && coordinatorNonce === undefined) {
      // Refused because the parser would otherwise read the body as well.
      if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined)
        return { kind: 'refused' };
      const nonce = newNonce();
      this.#nonces.set(socket, nonce);
      return { kind: 'challenged', challenge: challengeHeader(nonce) };
    }
    if (isAuthorized(this.#token, request)) return { kind: 'outdated' };
    const answer = parseAnswer(headers.authorization);
    if (answer === undefined || coordinatorNonce === undefined || coordinatorNonce === SPENT)
      return { kind: 'refused' };
    const exchange = {
      coordinatorNonce,
      workerNonce: answer.nonce,
      channel: channelOf(socket),
      target: `${request.method ?? ''} ${request.url ?? ''}`,
    };
    if (!isSameProof(answer.proof, proofOf(this.#token, 'worker', exchange)))
      return { kind: 'refused' };
    return {
      kind: 'admitted',
      confirmation: confirmationHeader(proofOf(this.#token, 'coordinator', exchange)),
    };
  }
}
