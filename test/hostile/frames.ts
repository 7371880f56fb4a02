import { crc32 } from 'node:zlib';
import { createKernels } from '../../shared/kernels/kernels.ts';
import { encodeHeader } from '../../shared/wire/frame.ts';
import { PROTOCOL } from '../../shared/wire/messages.ts';
import { engineFixture } from '../fixtures/engine-identity.ts';
import { bytesOf, tensorFrame as frameWith } from '../fixtures/tensor-frame.ts';
import { ARITHMETIC } from '../../shared/arithmetic/version.ts';

export const engine = engineFixture;
export const hello = {
  kind: 'hello',
  protocol: PROTOCOL,
  arithmetic: ARITHMETIC,
  version: '0',
  name: 'mallory',
};
/** Opcodes from RFC 6455, section 5.2, with the FIN bit set. */
export const TEXT = 0x81;
export const BINARY = 0x82;
export const CLOSE = 0x88;
export const PING = 0x89;
export const PONG = 0x8a;

const ROOM_BYTES = 128 * 1024;
const kernels = createKernels(ROOM_BYTES);
const scratch = kernels.allocate(ROOM_BYTES);

/** A frame with a body; its checksum is correct unless a different one is given. */
export function tensorFrame(
  header: object,
  values: Float32Array,
  checksum = checksumOf(bytesOf(values)),
): Buffer {
  return frameWith(header, values, checksum);
}

export function checksumOf(bytes: Uint8Array): bigint {
  kernels.bytes(scratch, bytes.length).set(bytes);
  return kernels.checksum(scratch, bytes.length);
}

/** A frame with these bytes as its header, and the correct CRC. */
export function packedFrame(packed: Uint8Array): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32LE(packed.length, 0);
  prefix.writeUInt32LE(crc32(packed), 4);
  return Buffer.concat([prefix, packed]);
}

/**
 * A masked WebSocket message (RFC 6455, section 5.2), with a mask of zeros; `length` may be wrong.
 */
export function webSocketFrame(
  payload: Uint8Array,
  first = BINARY,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(14);
  head[0] = first;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

/** A control frame; its length fits in seven bits. */
export function controlFrame(first: number, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([first, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

/** A worker's first messages: hello and, if it has a fingerprint, ready. */
export function introduction(fingerprint?: string): Buffer {
  const ready = { kind: 'ready', fingerprint, engine };
  return Buffer.concat(
    [hello, ...(fingerprint === undefined ? [] : [ready])].map((m) =>
      webSocketFrame(encodeHeader(m)),
    ),
  );
}

/** The path at which a target's run accepts upgrades. */
export const WORKER_PATH = '/worker/r';

/** A worker's upgrade request with its answer to the challenge; null for no proof. */
export function upgradeRequest(answer: string | null, path = WORKER_PATH, headers = ''): string {
  const key = Buffer.alloc(16, 7).toString('base64');
  const authorization = answer === null ? '' : `Authorization: ${answer}\r\n`;
  return (
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${authorization}${headers}\r\n`
  );
}

/** A plain request with an answer to the challenge; null for no proof. */
export function plainRequest(path: string, answer: string | null = null): string {
  const authorization = answer === null ? '' : `Authorization: ${answer}\r\n`;
  return `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${authorization}\r\n`;
}
