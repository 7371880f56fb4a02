import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { errorTable } from '../../shared/errors.ts';
import { CHECKSUM_BYTES, encodeHeader } from '../../shared/wire/frame.ts';
import { FRAME_ALIGNMENT_BYTES } from '../../shared/limits.ts';
import { Random } from '../fixtures/seeded-random.ts';
import { Attacker } from './attacker.ts';
import { expectBoundedMemory } from './cost.ts';
import { checksumOf, engine, hello, introduction, tensorFrame, webSocketFrame } from './frames.ts';
import { configurationOf, expectUnharmed, startTarget, type Target } from './target.ts';

const FRAMES = Number(process.env['MNIST_DIST_HOSTILE_FRAMES'] ?? 20_000);
const SEED = Number(process.env['MNIST_DIST_HOSTILE_SEED'] ?? 1);
const AT_ONCE = 32;
const PREFIX_BYTES = 8;
/** With one shard there is one lease, and the honest worker, which joined first, has it. */
const ONE_SHARD = 1;
/** A part that is never leased. If the honest worker is late, an attacker might hold its lease. */
const NO_PART = 2;

const CLOSE_CODES = [4000, ...Object.values(errorTable).map(({ close }) => close)];

/** A valid frame of a random kind that a worker sends. */
function validFrame({ fingerprint, floats, step }: Target, random: Random): Buffer {
  const fence = { run: 'r', term: 1, step: step() + 1, part: NO_PART, microseconds: 1 };
  const kind = random.below(7);
  if (kind === 0)
    return tensorFrame(
      { kind: 'predictions', set: random.pick(['test', 'validation']), ...fence },
      new Float32Array(500 * 12).fill(1),
    );
  if (kind < 3)
    return tensorFrame(
      { kind: 'gradient', ...fence, correct: 1 },
      new Float32Array(floats).fill(1),
    );
  return encodeHeader(
    random.pick([
      { kind: 'heartbeat' },
      { kind: 'devices', gpus: [{ index: 0, utilization: 0.5, memoryUsedBytes: 2 ** 30 }] },
      { kind: 'preparing', limitMilliseconds: 1000 },
      { kind: 'ready', fingerprint, engine },
      hello,
      { ...hello, run: 'r' },
      { kind: 'bye', code: 'TERMINATED', message: 'so long' },
    ]),
  );
}

/** A copy in which a few bytes are changed, removed or added. */
function mutated(frame: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(frame);
  // Otherwise mutations would rarely hit small frames and headers.
  const reach = random.chance(0.5) ? Math.min(bytes.length, 120) : bytes.length;
  const flips = 1 + random.below(4);
  for (let i = 0; i < flips; i++) {
    const at = random.below(reach);
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 + random.below(255)), at);
  }
  if (random.chance(0.1)) return bytes.subarray(0, random.below(bytes.length));
  return random.chance(0.1)
    ? Buffer.concat([bytes, bytes.subarray(0, 1 + random.below(100))])
    : bytes;
}

/**
 * A copy with the correct header length, header CRC and body checksum, as far as there is room for
 * them.
 */
function repaired(frame: Buffer, headerBytes: number): Buffer {
  const bytes = Buffer.from(frame);
  const headEnd = PREFIX_BYTES + headerBytes;
  if (bytes.length < headEnd) return bytes;
  bytes.writeUInt32LE(headerBytes, 0);
  bytes.writeUInt32LE(crc32(bytes.subarray(PREFIX_BYTES, headEnd)), 4);
  const bodyStart = Math.ceil(headEnd / FRAME_ALIGNMENT_BYTES) * FRAME_ALIGNMENT_BYTES;
  const bodyEnd = bytes.length - CHECKSUM_BYTES;
  if (bodyEnd < bodyStart) return bytes;
  bytes.fill(0, headEnd, bodyStart);
  bytes.writeBigUInt64LE(checksumOf(bytes.subarray(bodyStart, bodyEnd)), bodyEnd);
  return bytes;
}

let dialled = 0;
/**
 * A new address for each attack, since one address may open only a limited number of worker
 * connections in quick succession.
 */
function nextAddress(): string {
  const block = 2 + Math.floor(dialled++ / 100);
  return `127.${block >> 16}.${(block >> 8) & 255}.${block & 255}`;
}

/**
 * One connection sends none, part or all of the introduction, then the mutated frame, then two
 * hellos. The second hello always closes the connection.
 */
async function attack(target: Target, random: Random, isRepaired: boolean): Promise<void> {
  const valid = validFrame(target, random);
  const headerBytes = valid.readUInt32LE(0);
  let frame = mutated(valid, random);
  if (isRepaired) frame = repaired(frame, headerBytes);
  const before = random.pick([[], [introduction()], [introduction(target.fingerprint)]]);
  const last = [hello, hello].map((message) => webSocketFrame(encodeHeader(message)));
  const first = Buffer.concat([...before, webSocketFrame(frame), ...last]);
  const attacker = Attacker.upgrade(target.port, { first, localAddress: nextAddress() });
  attacker.manners = 'resets';
  const { close } = await attacker.ended;
  expect(CLOSE_CODES).toContain(close);
  if (!isRepaired && !frame.equals(valid)) expect(close).toBe(errorTable.PROTOCOL.close);
}

describe('mutated frames', () => {
  it.each([
    ['whose checksums do not match', false],
    ['whose checksums were repaired', true],
  ])('%s do not change any weight', { timeout: 120_000 + 10 * FRAMES }, async (_, isRepaired) => {
    const target = await startTarget(configurationOf(ONE_SHARD));
    let left = 0;
    const attackers = Array.from({ length: AT_ONCE }, (__, i) => new Random(SEED + i));
    const attackWith = async (frames: number): Promise<void> => {
      left = frames;
      await Promise.all(
        attackers.map(async (random) => {
          while (left-- > 0) await attack(target, random, isRepaired);
        }),
      );
    };
    // Compilers and pools grow with the first frames.
    await attackWith(Math.ceil(0.05 * FRAMES));
    await expectBoundedMemory(() => attackWith(Math.ceil(0.45 * FRAMES)));
    await expectUnharmed(target);
  });
});
