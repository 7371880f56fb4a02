import type { z } from 'zod';
import { ClusterError } from '../errors.ts';
import { decodeFrame, tensorOf, type DecodedFrame, type Free, type Tensor } from './frame.ts';
import { parseMessage, type CoordinatorMessage, type WorkerMessage } from './messages.ts';

type Message = WorkerMessage | CoordinatorMessage;

/** Looks up a tensor in the memory shared with the peer; undefined if no memory is shared. */
export type LookUpBuffer = (buffer: number, checksum: bigint) => Tensor | undefined;

export interface Received<M> {
  readonly message: M;
  /**
   * The message's tensor, whose checksum has not been compared yet; undefined if the message has
   * none.
   */
  readonly tensor: Tensor | undefined;
}

/** Parses an incoming message and finds its tensor. Throws PROTOCOL if the message is invalid. */
export function receive<M extends Message>(
  schema: z.ZodType<M>,
  data: unknown,
  isBinary: boolean,
  lookUp: LookUpBuffer,
  free?: Free,
): Received<M> {
  const frame = frameOf(data, isBinary);
  const message = parseMessage(schema, frame.header);
  if (carriesTensor(message) !== (frame.body !== undefined)) {
    const what = carriesTensor(message) ? 'without its' : 'with a';
    throw new ClusterError('PROTOCOL', `the peer sent "${message.kind}" ${what} body`);
  }
  return { message, tensor: tensorWith(message, frame, lookUp, free) };
}

/** Parses an incoming message and ignores its tensor. Throws PROTOCOL if the message is invalid. */
export function receiveMessage<M extends Message>(
  schema: z.ZodType<M>,
  data: unknown,
  isBinary: boolean,
): M {
  return parseMessage(schema, frameOf(data, isBinary).header);
}

function frameOf(data: unknown, isBinary: boolean): DecodedFrame {
  if (isBinary && Buffer.isBuffer(data)) return decodeFrame(data);
  throw new ClusterError(
    'PROTOCOL',
    'the peer sent a text message; every message must be one binary frame',
  );
}

function carriesTensor({ kind }: Message): boolean {
  return kind === 'gradient' || kind === 'predictions' || kind === 'step' || kind === 'evaluate';
}

function tensorWith(
  message: Message,
  frame: DecodedFrame,
  lookUp: LookUpBuffer,
  free: Free | undefined,
): Tensor | undefined {
  const buffer = 'buffer' in message ? message.buffer : undefined;
  if (buffer === undefined) return tensorOf(frame, free);
  const tensor = frame.body?.byteLength === 0 ? lookUp(buffer, frame.checksum) : undefined;
  if (tensor !== undefined) return tensor;
  throw new ClusterError('PROTOCOL', 'the peer referred to shared memory that it does not share');
}
