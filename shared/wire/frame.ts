import { crc32 } from 'node:zlib';
import { Packr } from 'msgpackr';
import { assert, ClusterError } from '../errors.ts';
import { FRAME_ALIGNMENT_BYTES, MAX_HEADER_BYTES } from '../limits.ts';
import { MAX_WEBSOCKET_HEAD_BYTES } from './websocket-head.ts';

/**
 * One frame on the wire, little-endian:
 *
 *     u32 header length | u32 CRC-32 of the header | header (msgpack)
 *     | zeros to a multiple of 64 | body | u64 XXH64 of the body
 *
 * Only messages with a tensor have padding, a body and a checksum. Tensors never pass through
 * msgpack: the body is raw float32, so a receiver can view it in place. The checksum detects
 * accidental damage, not forgery.
 */
const PREFIX_BYTES = 8;
export const CHECKSUM_BYTES = 8;

// Records and structured clones would let a peer build shared state and cycles. Plain maps are
// enough.
const packr = new Packr({ useRecords: false, variableMapSize: true });
const unpackr = new Packr({ useRecords: false, structuredClone: false, mapsAsObjects: true });

/**
 * The maximum number of bytes before a frame's body, including the header of the WebSocket message
 * around it.
 */
export const MAX_FRAME_HEAD_BYTES =
  align(MAX_WEBSOCKET_HEAD_BYTES) + align(PREFIX_BYTES + MAX_HEADER_BYTES);

/** Releases the memory of a message, which may then be overwritten. */
export type Free = () => void;

export interface DecodedFrame {
  /** Not validated yet. */
  readonly header: unknown;
  /** The bytes between the padding and the checksum; undefined in a header-only frame. */
  readonly body: Uint8Array | undefined;
  /** XXH64 from the sender, for the reader of the body to compare; 0 in a header-only frame. */
  readonly checksum: bigint;
}

/** A frame in the memory where it was encoded, with free space before it. */
export class TensorFrame {
  readonly bytes: Buffer;
  /** Free bytes before the frame. */
  readonly #free: number;

  constructor(buffer: Uint8Array, start: number) {
    this.#free = start;
    this.bytes = Buffer.from(buffer.buffer, buffer.byteOffset + start, buffer.byteLength - start);
  }

  /**
   * The frame preceded by `head`, a WebSocket header of at most MAX_WEBSOCKET_HEAD_BYTES, which is
   * written into the free space.
   */
  after(head: Buffer): Buffer {
    assert(head.length <= this.#free, 'the WebSocket header fits before the frame');
    const { buffer, byteOffset, length } = this.bytes;
    const all = Buffer.from(buffer, byteOffset - head.length, head.length + length);
    all.set(head);
    return all;
  }
}

/** A message's tensor, which is in its frame or in shared memory. */
export interface Tensor {
  readonly byteLength: number;
  /** XXH64 from the sender, for the reader to compare. */
  readonly checksum: bigint;
  /** Fills the target. Call it once; it returns false if the bytes are no longer available. */
  copyTo(target: Uint8Array): boolean;
  /**
   * Whether the memory may have been reused. If the checksum of a copy does not match, this
   * distinguishes a late message from damaged bytes.
   */
  isStale(): boolean;
}

/**
 * The body of a frame as a tensor. `free` releases its memory after the copy. Undefined for a
 * header-only frame.
 */
export function tensorOf({ body, checksum }: DecodedFrame, free?: Free): Tensor | undefined {
  if (body === undefined) return undefined;
  let isAvailable = true;
  const copyTo = (target: Uint8Array) => {
    if (!isAvailable) return false;
    target.set(body);
    if (free === undefined) return true;
    isAvailable = false;
    free();
    return true;
  };
  return { byteLength: body.byteLength, checksum, copyTo, isStale: () => false };
}

/** A frame without a body. */
export function encodeHeader(header: object): Buffer {
  const packed = packHeader(header);
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + packed.length);
  writeHead(frame, packed);
  return frame;
}

/** A frame whose body is in a buffer of shared memory: the checksum follows the padding. */
export function encodePointer(header: object, checksum: bigint): Buffer {
  const packed = packHeader(header);
  const bodyStart = align(PREFIX_BYTES + packed.length);
  const frame = Buffer.alloc(bodyStart + CHECKSUM_BYTES);
  writeHead(frame, packed);
  frame.writeBigUInt64LE(checksum, bodyStart);
  return frame;
}

/**
 * Writes the part of a frame before its body, so that it ends where the body begins. `buffer` has
 * MAX_FRAME_HEAD_BYTES of space for that part, then the body, then the checksum; nothing else is
 * written.
 */
export function encodeBefore(buffer: Uint8Array, header: object): TensorFrame {
  const packed = packHeader(header);
  const start = MAX_FRAME_HEAD_BYTES - align(PREFIX_BYTES + packed.length);
  buffer.fill(0, start, MAX_FRAME_HEAD_BYTES);
  const frame = new TensorFrame(buffer, start);
  writeHead(frame.bytes, packed);
  return frame;
}

/** The size of the buffer that `encodeBefore` needs for a body of `bodyBytes`. */
export function frameCapacity(bodyBytes: number): number {
  return MAX_FRAME_HEAD_BYTES + bodyBytes + CHECKSUM_BYTES;
}

/**
 * Splits a frame. Throws PROTOCOL if it is malformed. The header is not unpacked until its length
 * and CRC have been checked.
 */
export function decodeFrame(frame: Buffer): DecodedFrame {
  if (frame.length < PREFIX_BYTES) throw malformed(`a frame of ${frame.length} bytes`);
  const headerBytes = frame.readUInt32LE(0);
  if (headerBytes > MAX_HEADER_BYTES) throw malformed(`a header of ${headerBytes} bytes`);
  const headEnd = PREFIX_BYTES + headerBytes;
  if (frame.length < headEnd) throw malformed(`a header that extends beyond its frame`);
  const packed = frame.subarray(PREFIX_BYTES, headEnd);
  if (crc32(packed) !== frame.readUInt32LE(4))
    throw malformed('a header whose CRC-32 does not match');
  const header = unpackHeader(packed);
  if (frame.length === headEnd) return { header, body: undefined, checksum: 0n };

  const bodyStart = align(headEnd);
  const bodyEnd = frame.length - CHECKSUM_BYTES;
  if (bodyEnd < bodyStart) throw malformed('a body that ends before it begins');
  for (let i = headEnd; i < bodyStart; i++)
    if (frame[i] !== 0) throw malformed('padding that is not zero');
  return {
    header,
    body: frame.subarray(bodyStart, bodyEnd),
    checksum: frame.readBigUInt64LE(bodyEnd),
  };
}

function packHeader(header: object): Buffer {
  const packed = packr.pack(header);
  if (packed.length > MAX_HEADER_BYTES) {
    throw new Error(
      `a header of ${packed.length} bytes exceeds MAX_HEADER_BYTES, ${MAX_HEADER_BYTES}`,
    );
  }
  return packed;
}

function unpackHeader(packed: Buffer): unknown {
  try {
    return unpackr.unpack(packed);
  } catch (error) {
    throw malformed('a header that is not msgpack', error);
  }
}

function writeHead(frame: Buffer, packed: Buffer): void {
  frame.writeUInt32LE(packed.length, 0);
  frame.writeUInt32LE(crc32(packed), 4);
  frame.set(packed, PREFIX_BYTES);
}

function align(bytes: number): number {
  return Math.ceil(bytes / FRAME_ALIGNMENT_BYTES) * FRAME_ALIGNMENT_BYTES;
}

function malformed(what: string, cause?: unknown): ClusterError {
  return new ClusterError(
    'PROTOCOL',
    `the peer sent ${what}`,
    cause === undefined ? {} : { cause },
  );
}
