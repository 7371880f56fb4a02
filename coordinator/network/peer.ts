import type { ErrorCode } from '../../shared/errors.ts';
import type { Tensor } from '../../shared/wire/frame.ts';
import type { WorkerMessage } from '../../shared/wire/messages.ts';
import type { HeaderMessage } from '../decisions/effects.ts';
import type { OutgoingWeights } from '../tensors.ts';

/** The traffic and state of a worker's connection. */
export interface Traffic {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Bytes waiting to be sent. */
  readonly queuedBytes: number;
  /** Time from the last ping to its pong; undefined before the first pong. */
  readonly roundTripMilliseconds: number | undefined;
}

/**
 * Why a connection ended: an error code, the loss of the connection, a peer that did not read its
 * messages, or the end of the run.
 */
export type LeaveCause = ErrorCode | 'connection' | 'unread' | 'finished';

/**
 * An authenticated worker's connection. It does not deliver events after `close` or `terminate`.
 */
export interface Peer {
  readonly slot: number;
  traffic(): Traffic;
  send(message: HeaderMessage): void;
  /** Sends a heartbeat, and a ping that the peer must answer. */
  beat(): void;
  /** Sends weights, and keeps them unchanged until the worker has read them. */
  sendWeights(weights: OutgoingWeights): void;
  /** Closes the connection with a reason; cuts it if the peer does not answer. */
  close(code: ErrorCode | undefined, message: string): void;
  /** Cuts the connection without a message, because the peer is not reading. */
  terminate(reason: string): void;
}

export interface PeerEvents {
  connected(peer: Peer): void;
  message(peer: Peer, message: WorkerMessage, tensor: Tensor | undefined): void;
  /** A WebSocket ping or pong arrived. */
  control(peer: Peer): void;
  disconnected(peer: Peer, reason: string, cause: LeaveCause): void;
}
