import { CHECKSUM_BYTES, encodeBefore, MAX_FRAME_HEAD_BYTES, roomBytes } from '../../shared/wire/frame.ts';

/** A frame with this header, these values as its body, and this checksum, right or wrong. */
export function tensorFrame(header: object, values: Float32Array, checksum: bigint): Buffer {
  const room = Buffer.alloc(roomBytes(values.byteLength));
  room.set(bytesOf(values), MAX_FRAME_HEAD_BYTES);
  room.writeBigUInt64LE(checksum, room.length - CHECKSUM_BYTES);
  return encodeBefore(room, header).bytes;
}

export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
