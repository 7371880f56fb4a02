import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LargeMessages } from '../../../../shared/wire/large-messages.ts';

const MAX_BYTES = 200;

/** A WebSocket frame (RFC 6455) whose length takes 1, 2 or 8 bytes. */
function frame(first: number, lengthBytes: 1 | 2 | 8, payload: Uint8Array, mask?: number): Buffer {
  const head = Buffer.alloc(10);
  const marker = mask === undefined ? 0 : 0x80;
  head[0] = first;
  head[1] = marker | (lengthBytes === 1 ? payload.length : lengthBytes === 2 ? 126 : 127);
  if (lengthBytes === 2) head.writeUInt16BE(payload.length, 2);
  if (lengthBytes === 8) head.writeBigUInt64BE(BigInt(payload.length), 2);
  const used = head.subarray(0, lengthBytes === 1 ? 2 : 2 + lengthBytes);
  if (mask === undefined) return Buffer.concat([used, payload]);
  const masked = Buffer.alloc(4);
  masked.writeUInt32BE(mask);
  return Buffer.concat([used, masked, payload.map((byte, i) => byte ^ (masked[i % 4] ?? 0))]);
}

interface Taken {
  readonly passed: Buffer;
  readonly messages: string[];
  /** How many bytes had been passed to ws when it took over; undefined if it did not. */
  readonly handedOverAt: number | undefined;
}

/** Feeds bytes from a client in pieces of the given sizes, and frees every message immediately. */
function take(bytes: Buffer, pieces: readonly number[]): Taken {
  const passed: Buffer[] = [];
  const messages: string[] = [];
  let handedOverAt: number | undefined;
  const large = new LargeMessages({
    isFromClient: true,
    minBytes: 1,
    maxBytes: MAX_BYTES,
    deliver: (message, free) => {
      expect(handedOverAt).toBeUndefined();
      messages.push(message.toString('hex'));
      free();
    },
    pass: (some) => {
      expect(handedOverAt).toBeUndefined();
      passed.push(Buffer.from(some));
    },
    handOver: (some) => {
      handedOverAt ??= Buffer.concat(passed).length;
      passed.push(Buffer.from(some));
    },
  });
  let at = 0;
  for (const piece of [...pieces, bytes.length]) {
    const some = bytes.subarray(at, at + piece);
    if (handedOverAt === undefined) large.take(some);
    else passed.push(some);
    at = Math.min(at + piece, bytes.length);
  }
  return { passed: Buffer.concat(passed), messages, handedOverAt };
}

const payload = fc.uint8Array({ minLength: 1, maxLength: 120 });
const large = payload.map((bytes) => ({
  bytes: frame(0x82, 8, bytes, 0),
  message: Buffer.from(bytes).toString('hex'),
}));
const mask = fc.integer({ min: 1, max: 0xffffffff });
/** Other frames that an honest peer may send. */
const others = fc.oneof(
  fc
    .tuple(fc.constantFrom<1 | 2 | 8>(1, 2, 8), payload, mask)
    .map(([size, bytes, by]) => frame(0x82, size, bytes, by)),
  fc.constantFrom<1 | 2 | 8>(1, 2, 8).map((size) => frame(0x82, size, Buffer.alloc(0), 0)),
  fc.tuple(fc.constantFrom(0x89, 0x8a), payload).map(([first, bytes]) => frame(first, 1, bytes, 7)),
);
/**
 * Frames at which ws takes over: close, text, fragments, extensions, unknown opcodes, no mask, too
 * large.
 */
const rest = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(0x88, 0x81, 0x01, 0x02, 0x80, 0x00, 0xc2, 0xa2, 0x92, 0x83, 0x8b, 0x09),
      payload,
    )
    .map(([first, bytes]) => frame(first, 8, bytes, 0)),
  payload.map((bytes) => frame(0x82, 8, bytes)),
  fc
    .uint8Array({ minLength: MAX_BYTES + 1, maxLength: MAX_BYTES + 9 })
    .map((bytes) => frame(0x82, 8, bytes, 0)),
  fc.uint8Array({ minLength: 126, maxLength: 130 }).map((bytes) => frame(0x89, 2, bytes, 0)),
);
const pieces = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 });

describe('large messages', () => {
  it('are extracted in order from a stream in any pieces, and other bytes are passed to ws', () => {
    const stream = fc.array(fc.oneof(large, others), { maxLength: 12 });
    fc.assert(
      fc.property(stream, pieces, (parts, sizes) => {
        const bytes = Buffer.concat(
          parts.map((part) => (Buffer.isBuffer(part) ? part : part.bytes)),
        );
        const taken = take(bytes, sizes);
        expect(taken.messages).toEqual(
          parts.flatMap((part) => (Buffer.isBuffer(part) ? [] : [part.message])),
        );
        expect(taken.passed).toEqual(Buffer.concat(parts.filter((part) => Buffer.isBuffer(part))));
        expect(taken.handedOverAt).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  it('are extracted up to the first unusual frame: ws gets it and everything after it', () => {
    const before = fc.array(fc.oneof(large, others), { maxLength: 4 });
    fc.assert(
      fc.property(
        before,
        rest,
        fc.array(large, { maxLength: 3 }),
        pieces,
        (parts, odd, after, sizes) => {
          const tail = Buffer.concat([odd, ...after.map(({ bytes }) => bytes)]);
          const heads = parts.map((part) => (Buffer.isBuffer(part) ? part : part.bytes));
          const taken = take(Buffer.concat([...heads, tail]), sizes);
          expect(taken.messages).toEqual(
            parts.flatMap((part) => (Buffer.isBuffer(part) ? [] : [part.message])),
          );
          const small = Buffer.concat(parts.filter((part) => Buffer.isBuffer(part)));
          expect(taken.passed).toEqual(Buffer.concat([small, tail]));
          expect(taken.handedOverAt).toBe(small.length);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('do not include small messages, which ws gets in one piece', () => {
    const passed: Buffer[] = [];
    const taker = new LargeMessages({
      isFromClient: false,
      minBytes: 100,
      maxBytes: MAX_BYTES,
      deliver: () => expect.unreachable(),
      handOver: () => expect.unreachable(),
      pass: (some) => passed.push(some),
    });
    const small = Buffer.concat(
      Array.from({ length: 50 }, (_, i) => frame(0x82, 8, Buffer.alloc(50 + i))),
    );
    taker.take(small);
    expect(passed).toEqual([small]);
  });

  it('reuse the memory of a freed message if it is large enough', () => {
    const messages: { readonly message: Buffer; readonly free: () => void }[] = [];
    const taker = new LargeMessages({
      isFromClient: false,
      minBytes: 1,
      maxBytes: 20_000,
      pass: () => expect.unreachable(),
      handOver: () => expect.unreachable(),
      deliver: (message, free) => messages.push({ message, free }),
    });
    for (const value of [1, 2]) taker.take(frame(0x82, 8, Buffer.alloc(100, value)));
    messages[0]?.free();
    for (const value of [3, 4]) taker.take(frame(0x82, 8, Buffer.alloc(90, value)));
    messages[2]?.free();
    taker.take(frame(0x82, 8, Buffer.alloc(15_000, 5)));
    const [first, second, third, fourth, fifth] = messages.map(({ message }) => message);
    expect(third?.buffer).toBe(first?.buffer);
    expect(new Set([first, second, fourth, fifth].map((each) => each?.buffer)).size).toBe(4);
    expect([second, third, fourth, fifth]).toEqual([
      Buffer.alloc(100, 2),
      Buffer.alloc(90, 3),
      Buffer.alloc(90, 4),
      Buffer.alloc(15_000, 5),
    ]);
  });
});
