import { beforeAll, describe, expect, it } from 'vitest';
import { errorTable } from '../../shared/errors.ts';
import { encodeHeader } from '../../shared/wire/frame.ts';
import { Attacker } from './attacker.ts';
import { expectBoundedMemory, expectCheap } from './cost.ts';
import {
  BINARY,
  CLOSE,
  controlFrame,
  hello,
  packedFrame,
  PING,
  TEXT,
  webSocketFrame,
} from './frames.ts';
import { expectUnharmed, startTarget, type Target } from './target.ts';

/** Close codes from RFC 6455, section 7.4.1, that ws sends for invalid messages. */
const PROTOCOL_ERROR = 1002;
const NOT_UTF8 = 1007;
const POLICY = 1008;
const TOO_BIG = 1009;
const GIANT = 2 ** 32;

const fill = (count: number, ...unit: number[]) =>
  Uint8Array.from({ length: count * unit.length }, (_, i) => unit[i % unit.length] ?? 0);
const packed = (...parts: (Uint8Array | number[])[]) =>
  packedFrame(Buffer.concat(parts.map((part) => Buffer.from(part))));
/** The only entry of a heartbeat; a map with many copies of it is still a heartbeat. */
const pair = Buffer.from('\u00a4kind\u00a9heartbeat', 'latin1');

/** Frames with a wrong length or checksum, or with an invalid header. */
const headers: [string, Buffer][] = [
  ['claims 4 GiB', Buffer.from([255, 255, 255, 255, 0, 0, 0, 0])],
  ['is longer than its frame', encodeHeader(hello).subarray(0, -1)],
  ['is longer than 4,096 bytes', packed([0xde, 1, 44], ...Array.from({ length: 300 }, () => pair))],
  ['has a wrong CRC', Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0xc0])],
  ['is empty', packed()],
  ['is not a frame', Buffer.from([1, 2, 3])],
  ['is 4,000 nested arrays', packed(fill(4000, 0x91), [0xc0])],
  ['is 1,300 nested maps', packed(fill(1300, 0x81, 0xa1, 0x61), [0xc0])],
  ['is an array of 4,000 items', packed([0xdc, 0x0f, 0xa0], fill(4000, 0xc0))],
  [
    'is a map of 1,000 entries',
    packed(
      [0xde, 0x03, 0xe8],
      ...Array.from({ length: 1000 }, (_, i) => [0xcd, i >> 8, i & 255, 0xc0]),
    ),
  ],
  ['claims an array of 4 Gi items', packed([0xdd, 255, 255, 255, 255])],
  [
    'claims nested arrays of 4,000 items',
    packed(...Array.from({ length: 1300 }, () => [0xdc, 0x0f, 0xa0])),
  ],
  ['claims a map of 4 Gi entries', packed([0xdf, 255, 255, 255, 255])],
  ['declares a string of 4 GiB', packed([0xdb, 255, 255, 255, 255])],
  ['claims bytes of 4 GiB', packed([0xc6, 255, 255, 255, 255])],
  [
    'defines records',
    packed(
      [0xdc, 0x01, 0x2c],
      ...Array.from({ length: 300 }, (_, i) => [
        0xd4,
        0x72,
        0x40 + (i % 64),
        0x92,
        0xa1,
        97 + (i % 26),
        0xa1,
        65,
        1,
        2,
      ]),
    ),
  ],
  ['is a number of 4,000 bytes', packed([0xc8, 0x0f, 0xa0, 0x42], fill(4000, 0x7f))],
  [
    'is a regular expression',
    packed([0xd4, 0x78, 0, 0x92, 0xda, 0x0f, 0x00], fill(0xf00, 0x28), [0xa0]),
  ],
  [
    'is an Error object',
    packed([0xd4, 0x65, 0, 0x93, 0xa5], Buffer.from('Error'), [0xa1, 0x61, 0xc0]),
  ],
  ['refers to itself', packed([0xd6, 0x69, 0, 0, 0, 1, 0x91, 0xd6, 0x70, 0, 0, 0, 1])],
  [
    'sets its prototype',
    packed(
      [0x82, 0xa9],
      Buffer.from('__proto__'),
      [0x81, 0xa4],
      Buffer.from('kind'),
      [0xa9],
      Buffer.from('heartbeat'),
      [0xa1, 0x61, 1],
    ),
  ],
  [
    'has bytes left over',
    packed([0x81, 0xa4], Buffer.from('kind'), [0xa9], Buffer.from('heartbeat'), [1]),
  ],
];

/** Bytes that are not a WebSocket message of one binary frame. */
const messages: [string, number, Buffer][] = [
  ['a text', errorTable.PROTOCOL.close, webSocketFrame(Buffer.from('{"kind":"heartbeat"}'), TEXT)],
  ['a text that is not UTF-8', NOT_UTF8, webSocketFrame(Buffer.from([0xff, 0xfe]), TEXT)],
  [
    'two fragments',
    POLICY,
    Buffer.concat([webSocketFrame(Buffer.alloc(9), 0x02), webSocketFrame(Buffer.alloc(9), 0x80)]),
  ],
  ['a continuation without a first frame', PROTOCOL_ERROR, webSocketFrame(Buffer.alloc(9), 0x80)],
  ['a frame that claims to be compressed', PROTOCOL_ERROR, webSocketFrame(Buffer.alloc(9), 0xc2)],
  ['an unknown opcode', PROTOCOL_ERROR, webSocketFrame(Buffer.alloc(9), 0x83)],
  ['a frame without a mask', PROTOCOL_ERROR, Buffer.from([BINARY, 1, 0])],
  ['a ping of 4 GiB', PROTOCOL_ERROR, webSocketFrame(Buffer.alloc(0), PING, GIANT)],
  ['a close code that does not exist', PROTOCOL_ERROR, controlFrame(CLOSE, Buffer.from([0, 1]))],
  [
    'one byte more than the largest frame',
    TOO_BIG,
    webSocketFrame(Buffer.alloc(0), BINARY, 32 * 1024),
  ],
  ['4 GiB', TOO_BIG, webSocketFrame(Buffer.alloc(1000), BINARY, GIANT)],
  ['an exbibyte', TOO_BIG, webSocketFrame(Buffer.alloc(1000), BINARY, 2 ** 60)],
  ['the largest frame in pieces of 10 bytes', POLICY, webSocketFrame(Buffer.alloc(20_000))],
];

/** One run for all tests in this file. */
let target: Target;
beforeAll(async () => {
  const tasks: (() => void | Promise<void>)[] = [];
  target = await startTarget(undefined, (task) => tasks.unshift(task));
  return async () => {
    for (const task of tasks) await task();
  };
});

describe('a header', () => {
  it.each(headers)('that %s disconnects its sender', async (_, frame) => {
    await expectBoundedMemory(() =>
      expectCheap(async () => {
        const attacker = await Attacker.join(target.port);
        attacker.send(frame);
        expect((await attacker.ended).close).toBe(errorTable.PROTOCOL.close);
      }),
    );
    await target.advances(1);
  });
});

describe('a message', () => {
  it.each(messages)('that is %s disconnects its sender', async (what, code, bytes) => {
    await expectBoundedMemory(() =>
      expectCheap(async () => {
        const attacker = await Attacker.join(target.port);
        await attacker.writeInPieces(bytes, what.includes('pieces') ? 10 : bytes.length);
        expect((await attacker.ended).close).toBe(code);
      }),
    );
    await target.advances(1);
  });

  it('is never compressed, even if a peer offers compression', async () => {
    const attacker = Attacker.upgrade(target.port, {
      headers: 'Sec-WebSocket-Extensions: permessage-deflate\r\n',
    });
    attacker.write(webSocketFrame(Buffer.alloc(9), 0xc2));
    const { status, text, close } = await attacker.ended;
    expect({ status, close }).toEqual({ status: 101, close: PROTOCOL_ERROR });
    expect(text).not.toMatch(/permessage-deflate/);
    await target.advances(1);
  });

  // ws alone would wait for 30 s.
  it(
    'that breaks the rules disconnects its sender even if the sender never answers',
    { timeout: 20_000 },
    async () => {
      const attacker = await Attacker.join(target.port);
      attacker.manners = 'rude';
      attacker.write(webSocketFrame(Buffer.alloc(0), BINARY, GIANT));
      expect((await attacker.ended).close).toBe(TOO_BIG);
      await target.advances(1);
    },
  );
});

it('none of these messages changes a weight', async () => {
  await expectUnharmed(target);
});
