/**
 * What stands before the payload of a WebSocket frame (RFC 6455, section 5.2):
 *
 *     u8 FIN, RSV1-3 and opcode | u8 MASK and length | u16 or u64 length, big-endian | u32 mask
 *
 * The length is one byte up to 125; 126 says that two more bytes hold it, 127 that eight do.
 */
export const MAX_WEBSOCKET_HEAD_BYTES = 14;
/** A message of one frame: FIN, and the opcode of bytes. */
const WHOLE_BINARY = 0x82;
const MASKED = 0x80;
const TWO_BYTES = 126;
const EIGHT_BYTES = 127;
const MASK_BYTES = 4;

export interface WebSocketHead {
  readonly headBytes: number;
  readonly payloadBytes: number;
  /** FIN, RSV1-3 and opcode. */
  readonly first: number;
  /** Undefined in a frame without one. */
  readonly mask: number | undefined;
}

/** The head of a binary message of at least 64 KiB, from a client with a mask of zeros: one that changes nothing. */
export function largeHead(payloadBytes: number, isClient: boolean): Buffer {
  const head = Buffer.alloc(isClient ? MAX_WEBSOCKET_HEAD_BYTES : MAX_WEBSOCKET_HEAD_BYTES - MASK_BYTES);
  head.writeUInt8(WHOLE_BINARY, 0);
  head.writeUInt8(isClient ? MASKED | EIGHT_BYTES : EIGHT_BYTES, 1);
  head.writeBigUInt64BE(BigInt(payloadBytes), 2);
  return head;
}

/** Whether `largeHead` wrote this one, for some length. */
export function isLargeHead({ first, headBytes, mask }: WebSocketHead, isClient: boolean): boolean {
  if (first !== WHOLE_BINARY || mask !== (isClient ? 0 : undefined)) return false;
  return headBytes === (isClient ? MAX_WEBSOCKET_HEAD_BYTES : MAX_WEBSOCKET_HEAD_BYTES - MASK_BYTES);
}

/** Whether a frame is no message of its own, or not one that RFC 6455 knows without extensions. */
export function isFragment({ first }: WebSocketHead): boolean {
  return (first & 0xf0) !== 0x80 || (first & 0x0f) === 0;
}

/** The head at the beginning of `bytes`; undefined as long as some of it is missing. */
export function readHead(bytes: Buffer): WebSocketHead | undefined {
  if (bytes.length < 2) return undefined;
  const length = bytes.readUInt8(1) & ~MASKED;
  const isMasked = (bytes.readUInt8(1) & MASKED) !== 0;
  const lengthBytes = length === EIGHT_BYTES ? 8 : length === TWO_BYTES ? 2 : 0;
  const headBytes = 2 + lengthBytes + (isMasked ? MASK_BYTES : 0);
  if (bytes.length < headBytes) return undefined;
  return {
    headBytes,
    payloadBytes:
      lengthBytes === 8
        ? Number(bytes.readBigUInt64BE(2))
        : lengthBytes === 2
          ? bytes.readUInt16BE(2)
          : length,
    first: bytes.readUInt8(0),
    mask: isMasked ? bytes.readUInt32BE(headBytes - MASK_BYTES) : undefined,
  };
}
