import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_LARGE_MESSAGE_BYTES } from '../../shared/limits.ts';
import { LargeMessages } from '../../shared/large-messages.ts';
import { largeHead } from '../../shared/websocket-head.ts';

const MAX_BYTES = 200;

/** A frame as RFC 6455 has it, with a length of 1, 2 or 8 bytes. */
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
  readonly left: Buffer;
  readonly messages: string[];
}

/** What becomes of bytes that come in such pieces, from a client; every message is given back at once. */
function take(bytes: Buffer, pieces: readonly number[]): Taken {
  const left: Buffer[] = [];
  const messages: string[] = [];
  const large = new LargeMessages(
    true,
    MAX_BYTES,
    (some) => left.push(Buffer.from(some)),
    (message, free) => {
      messages.push(message.toString('hex'));
      free();
    },
  );
  let at = 0;
  for (const piece of [...pieces, bytes.length]) {
    large.take(bytes.subarray(at, at + piece));
    at = Math.min(at + piece, bytes.length);
  }
  return { left: Buffer.concat(left), messages };
}

const payload = fc.uint8Array({ minLength: 1, maxLength: 120 });
const large = payload.map((bytes) => ({
  bytes: frame(0x82, 8, bytes, 0),
  message: Buffer.from(bytes).toString('hex'),
}));
const others = fc.oneof(
  payload.map((bytes) => frame(0x82, 1, bytes, 0)),
  payload.map((bytes) => frame(0x82, 2, bytes, 0)),
  payload.map((bytes) => frame(0x81, 8, bytes, 0)),
  payload.map((bytes) => frame(0x82, 8, bytes)),
  fc
    .tuple(payload, fc.integer({ min: 1, max: 0xffffffff }))
    .map(([bytes, mask]) => frame(0x82, 8, bytes, mask)),
  fc
    .uint8Array({ minLength: MAX_BYTES + 1, maxLength: MAX_BYTES + 9 })
    .map((bytes) => frame(0x82, 8, bytes, 0)),
  fc.constantFrom(0x88, 0x89, 0x8a).map((first) => frame(first, 1, Buffer.from('why'), 7)),
  fc.constant(frame(0x82, 8, Buffer.alloc(0), 0)),
);
const fragments = fc
  .tuple(fc.constantFrom(0x01, 0x02, 0x80, 0x00, 0xc2, 0xa2, 0x92), payload)
  .map(([first, bytes]) => frame(first, 8, bytes, 0));
const pieces = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 });

describe('large messages', () => {
  it('are taken out of any stream in any pieces, in order; all else is left byte for byte', () => {
    const stream = fc.array(fc.oneof(large, others), { maxLength: 12 });
    fc.assert(
      fc.property(stream, pieces, (parts, sizes) => {
        const bytes = Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : part.bytes)));
        const taken = take(bytes, sizes);
        expect(taken.messages).toEqual(
          parts.flatMap((part) => (Buffer.isBuffer(part) ? [] : [part.message])),
        );
        expect(taken.left).toEqual(Buffer.concat(parts.filter((part) => Buffer.isBuffer(part))));
      }),
      { numRuns: 500 },
    );
  });

  it('are left, too, from the first fragment or frame with an extension on', () => {
    fc.assert(
      fc.property(
        fc.array(large, { maxLength: 3 }),
        fragments,
        fc.array(large, { maxLength: 3 }),
        pieces,
        (before, fragment, after, sizes) => {
          const rest = Buffer.concat([fragment, ...after.map(({ bytes }) => bytes)]);
          const taken = take(Buffer.concat([...before.map(({ bytes }) => bytes), rest]), sizes);
          expect(taken.messages).toEqual(before.map(({ message }) => message));
          expect(taken.left).toEqual(rest);
        },
      ),
    );
  });

  it('use the memory of one that was given back, and of no other', () => {
    const messages: { readonly message: Buffer; readonly free: () => void }[] = [];
    const taker = new LargeMessages(
      false,
      MAX_BYTES,
      () => undefined,
      (message, free) => messages.push({ message, free }),
    );
    for (const value of [1, 2]) taker.take(frame(0x82, 8, Buffer.alloc(100, value)));
    messages[0]?.free();
    for (const value of [3, 4]) taker.take(frame(0x82, 8, Buffer.alloc(90, value)));
    const [first, second, third, fourth] = messages.map(({ message }) => message);
    expect(third?.buffer).toBe(first?.buffer);
    expect(new Set([first, second, fourth].map((each) => each?.buffer)).size).toBe(3);
    expect([second, third, fourth]).toEqual([Buffer.alloc(100, 2), Buffer.alloc(90, 3), Buffer.alloc(90, 4)]);
  });

  it('of more than MAX_LARGE_MESSAGE_BYTES are left: what they claim is not allocated', () => {
    const left: Buffer[] = [];
    const taker = new LargeMessages(
      true,
      Infinity,
      (some) => left.push(some),
      () => expect.unreachable(),
    );
    const head = largeHead(MAX_LARGE_MESSAGE_BYTES + 1, true);
    taker.take(head);
    expect(Buffer.concat(left)).toEqual(head);
  });
});
