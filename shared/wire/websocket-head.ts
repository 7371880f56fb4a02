/**
 * The bytes before the payload of a WebSocket frame (RFC 6455, section 5.2):
 *
 *     u8 FIN, RSV1-3 and opcode | u8 MASK and length | u16 or u64 length, big-endian | u32 mask
 *
 * A length up to 125 takes one byte; 126 means that the next two bytes contain the length, and 127
 * that the next eight do.
 */
export const MAX_WEBSOCKET_HEAD_BYTES = 14;
/** FIN and the opcode for binary data: a message in a single frame. */
const WHOLE_BINARY = 0x82;
const PING = 0x89;
const PONG = 0x8a;
const MASKED = 0x80;
const MAX_ONE_BYTE = 125;
const TWO_BYTES = 126;
const EIGHT_BYTES = 127;
const MASK_BYTES = 4;

export interface WebSocketHead {
  readonly headBytes: number;
  readonly payloadBytes: number;
  /** FIN, RSV1-3 and opcode. */
  readonly firstByte: number;
  /** Undefined in an unmasked frame. */
  readonly mask: number | undefined;
}

/**
 * The header of a binary message, with its length in eight bytes. A client's mask is zero, which
 * does not change the payload.
 */
export function largeHead(payloadBytes: number, isClient: boolean): Buffer {
  const head = Buffer.alloc(
    isClient ? MAX_WEBSOCKET_HEAD_BYTES : MAX_WEBSOCKET_HEAD_BYTES - MASK_BYTES,
  );
  head.writeUInt8(WHOLE_BINARY, 0);
  head.writeUInt8(isClient ? MASKED | EIGHT_BYTES : EIGHT_BYTES, 1);
  head.writeBigUInt64BE(BigInt(payloadBytes), 2);
  return head;
}

/**
 * Whether the payload is a complete, readable message: a single binary frame without a mask that
 * would change it.
 */
export function isPlain({ firstByte, mask }: WebSocketHead): boolean {
  return firstByte === WHOLE_BINARY && (mask ?? 0) === 0;
}

/**
 * Whether the frame is of a kind that well-behaved peers send before they close: a whole binary
 * message, a ping or a pong.
 */
export function isOrdinary(
  { firstByte, payloadBytes, mask }: WebSocketHead,
  isClient: boolean,
  maxBytes: number,
): boolean {
  if ((mask !== undefined) !== isClient) return false;
  if (firstByte === WHOLE_BINARY) return payloadBytes <= maxBytes;
  return (firstByte === PING || firstByte === PONG) && payloadBytes <= MAX_ONE_BYTE;
}

/** The header at `at`; undefined if it is incomplete. */
export function readHead(bytes: Buffer, at: number): WebSocketHead | undefined {
  if (bytes.length < at + 2) return undefined;
  const second = bytes.readUInt8(at + 1);
  const isMasked = (second & MASKED) !== 0;
  const length = second & ~MASKED;
  const lengthBytes = length === EIGHT_BYTES ? 8 : length === TWO_BYTES ? 2 : 0;
  const headBytes = 2 + lengthBytes + (isMasked ? MASK_BYTES : 0);
  if (bytes.length < at + headBytes) return undefined;
  const payloadBytes =
    lengthBytes === 8
      ? Number(bytes.readBigUInt64BE(at + 2))
      : lengthBytes === 2
        ? bytes.readUInt16BE(at + 2)
        : length;
  const mask = isMasked ? bytes.readUInt32BE(at + headBytes - MASK_BYTES) : undefined;
  return { headBytes, payloadBytes, firstByte: bytes.readUInt8(at), mask };
}
