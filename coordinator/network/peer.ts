import type { ErrorCode } from '../../shared/errors.ts';
import type { Tensor } from '../../shared/wire/frame.ts';
import type { WorkerMessage } from '../../shared/wire/messages.ts';
import type { HeaderMessage } from '../decisions/effects.ts';
import type { OutgoingWeights } from '../tensors.ts';

/** What went over a worker's connection so far, and how it is doing. */
export interface Traffic {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Waiting to be sent. */
  readonly queuedBytes: number;
  /** From the last ping to its pong; undefined before the first. */
  readonly roundTripMilliseconds: number | undefined;
}

/** Why a connection ended: with one of our codes, by itself, or because the peer did not read. */
export type LeaveCause = ErrorCode | 'connection' | 'unread' | 'finished';

/**
 * An authenticated worker's connection as the driver sees it. After `close` or `terminate` nothing
 * it sends is delivered.
 */
export interface Peer {
  readonly slot: number;
  traffic(): Traffic;
  send(message: HeaderMessage): void;
  /** Says that we are alive, and asks for a sign of life. */
  beat(): void;
  /** Sends weights, and holds them in place until they are no longer needed. */
  sendWeights(weights: OutgoingWeights): void;
  /** Says why, closes, and cuts the connection if the peer does not answer. */
  close(code: ErrorCode | undefined, message: string): void;
  /** Cuts the connection without a word: the peer does not read. */
  terminate(reason: string): void;
}

export interface PeerEvents {
  connected(peer: Peer): void;
  message(peer: Peer, message: WorkerMessage, tensor: Tensor | undefined): void;
  /** A WebSocket ping or pong came. */
  control(peer: Peer): void;
  disconnected(peer: Peer, reason: string, cause: LeaveCause): void;
}
