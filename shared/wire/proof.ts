import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';

/**
 * How a worker and a coordinator prove to each other that they know the token. Neither sends it:
 *
 *     worker       GET /run
 *     coordinator  401, WWW-Authenticate: MnistDist nonce="C"
 *     worker       GET /run, Authorization: MnistDist nonce="W", proof="P"
 *     coordinator  200, Authentication-Info: proof="Q"
 *
 * Both requests use the same connection. C is valid only once, and only on that connection. P and Q
 * are HMAC-SHA256, keyed with the token, over the text that `proofOf` builds. The worker proves its
 * knowledge first, so that a peer without the token cannot obtain material for guessing it from a
 * coordinator.
 */
export interface Exchange {
  readonly coordinatorNonce: string;
  readonly workerNonce: string;
  /** A value that only the two ends of a TLS connection know; empty without TLS. */
  readonly channel: string;
  /** Method and path, such as "GET /run". */
  readonly target: string;
}

const SCHEME = 'MnistDist';
/** Changes whenever the meaning of a proof changes. */
const DOMAIN = 'mnist-dist proof 1';
const NONCE_BYTES = 32;
const HEX = '[0-9a-f]{64}';
const CHALLENGE = new RegExp(`^${SCHEME} nonce="(${HEX})"$`);
const ANSWER = new RegExp(`^${SCHEME} nonce="(${HEX})", proof="(${HEX})"$`);
const CONFIRMATION = new RegExp(`^proof="(${HEX})"$`);

/**
 * The path of the upgrade request. It contains the run's id, so that a proof is valid only for this
 * run.
 */
export function workerPath(run: string): string {
  return `/worker/${encodeURIComponent(run)}`;
}

export function newNonce(): string {
  return randomBytes(NONCE_BYTES).toString('hex');
}

/** One side's proof. The two sides' proofs differ, so neither can be reflected to its sender. */
export function proofOf(
  token: string,
  prover: 'worker' | 'coordinator',
  { coordinatorNonce, workerNonce, channel, target }: Exchange,
): string {
  const text = [DOMAIN, prover, coordinatorNonce, workerNonce, channel, target].join('\n');
  return createHmac('sha256', token).update(text).digest('hex');
}

/** Compares hexadecimal proofs in constant time. */
export function isSameProof(given: string, expected: string): boolean {
  return (
    given.length === expected.length && timingSafeEqual(Buffer.from(given), Buffer.from(expected))
  );
}

/**
 * The channel binding of RFC 9266: an attacker who relays between two TLS connections gets a
 * different value on each.
 */
export function channelOf(socket: Duplex): string {
  if (!(socket instanceof TLSSocket)) return '';
  return socket
    .exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0))
    .toString('hex');
}

export function challengeHeader(nonce: string): string {
  return `${SCHEME} nonce="${nonce}"`;
}

/** The nonce of a challenge; undefined if the header is not a challenge. */
export function nonceOfChallenge(header: string | undefined): string | undefined {
  return CHALLENGE.exec(header ?? '')?.[1];
}

export function answerHeader(nonce: string, proof: string): string {
  return `${SCHEME} nonce="${nonce}", proof="${proof}"`;
}

export function parseAnswer(
  header: string | undefined,
): { nonce: string; proof: string } | undefined {
  const [, nonce, proof] = ANSWER.exec(header ?? '') ?? [];
  return nonce === undefined || proof === undefined ? undefined : { nonce, proof };
}

export function confirmationHeader(proof: string): string {
  return `proof="${proof}"`;
}

export function proofOfConfirmation(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? CONFIRMATION.exec(header)?.[1] : undefined;
}
