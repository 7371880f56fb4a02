import type { ErrorCode } from '../shared/errors.ts';
import type { Tensor } from '../shared/frame.ts';
import type { WorkerMessage } from '../shared/messages.ts';
import type { HeaderMessage } from './effects.ts';
import type { OutgoingWeights } from './tensors.ts';

/** An authenticated worker's connection as the driver sees it. After `close` or `terminate` nothing it sends is delivered. */
export interface Peer {
  readonly slot: number;
  send(message: HeaderMessage): void;
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
  disconnected(peer: Peer, reason: string): void;
}
