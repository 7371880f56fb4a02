import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { errorTable, type ErrorCode } from '../../shared/errors.ts';
import { encodeHeader, encodePointer } from '../../shared/wire/frame.ts';
import { CHANNEL_FRAMES } from '../../shared/limits.ts';
import { ChannelWriter, PUBLISHED_AT, STATE_AT } from '../../shared/wire/channel.ts';
import type { MappedMemory, MemoryAddon } from '../../shared/wire/memory-addon.ts';
import { SharedMemory } from '../../shared/wire/shared-memory.ts';
import { compiledMemoryAddon } from '../fixtures/engine/memory-addon.ts';
import { Attacker } from './attacker.ts';
import { engine, hello, tensorFrame } from './frames.ts';
import { expectUnharmed, startTarget, type Target } from './target.ts';

let addon: MemoryAddon;

beforeAll(async () => {
  ({ addon } = await compiledMemoryAddon(afterAll));
});

interface Sharing {
  readonly target: Target;
  readonly attacker: Attacker;
  readonly memory: SharedMemory;
  readonly mapped: MappedMemory;
  readonly writer: ChannelWriter;
}

/** An attacker with the token, on the coordinator's host, whose channel the coordinator reads. */
async function join(): Promise<Sharing> {
  const target = await startTarget(undefined, onTestFinished, { memoryAddon: addon });
  const memory = new SharedMemory(4 * target.floats, addon);
  onTestFinished(() => memory.close());
  const { mapped } = memory;
  if (mapped === undefined) throw new Error('the memory is not mapped');
  const attacker = Attacker.upgrade(target.port);
  attacker.say(hello);
  const { fingerprint } = target;
  attacker.say({
    kind: 'ready',
    fingerprint,
    engine,
    memory: memory.address,
    channel: true,
  });
  await attacker.hears(({ message }) => (message.kind === 'channel' ? message : undefined));
  return { target, attacker, memory, mapped, writer: new ChannelWriter(addon, mapped) };
}

/** Tells the coordinator, over the socket, to read what was published. */
function ring({ attacker }: Sharing): void {
  attacker.say({ kind: 'heartbeat' });
}

describe.skipIf(process.platform !== 'linux')('a worker that shares its memory', () => {
  const fence = { run: 'r', term: 1, step: 1 };
  const result = { kind: 'gradient', ...fence, part: 1, correct: 0, microseconds: 1 };
  it.each<[string, ErrorCode, (sharing: Sharing) => void]>([
    [
      'publishes bytes that are not a frame',
      'PROTOCOL',
      ({ writer }) => writer.publish(Buffer.from('not a frame'), [0]),
    ],
    [
      "publishes a coordinator's message",
      'PROTOCOL',
      ({ writer }) => writer.publish(encodeHeader({ kind: 'channel', next: 1 }), [0]),
    ],
    [
      'publishes a gradient with its body in the channel',
      'PROTOCOL',
      ({ writer }) =>
        writer.publish(tensorFrame({ ...result, buffer: 0 }, new Float32Array(8)), [0]),
    ],
    [
      'says that it has published a billion frames',
      'TIMEOUT',
      ({ mapped }) => {
        addon.store(mapped, 1152, 2 ** 30);
        addon.store(mapped, PUBLISHED_AT, 2 ** 30);
      },
    ],
    [
      'publishes an entry of four gigabytes',
      'PROTOCOL',
      ({ mapped, writer }) => {
        writer.publish(Buffer.from('x'), [0]);
        for (let at = 4096; at < 4096 + 2048 * CHANNEL_FRAMES; at += 2048)
          addon.store(mapped, at + 4, 2 ** 32 - 1);
      },
    ],
    [
      'publishes a flood of heartbeats',
      'LIMIT',
      (sharing) => {
        const frame = encodeHeader({ kind: 'heartbeat' });
        // Not more at a time than the ring holds.
        const flood = setInterval(() => {
          for (let i = 0; i < CHANNEL_FRAMES && !sharing.attacker.isGone; i++)
            sharing.writer.publish(frame, [0]);
        }, 1);
        onTestFinished(() => clearInterval(flood));
      },
    ],
  ])('is disconnected when it %s', async (_, code, attack) => {
    const sharing = await join();
    attack(sharing);
    const timer = setInterval(() => {
      if (!sharing.attacker.isGone) ring(sharing);
    }, 200);
    onTestFinished(() => clearInterval(timer));
    const { close } = await sharing.attacker.ended;
    expect(close).toBe(errorTable[code].close);
    await expectUnharmed(sharing.target);
  });

  it('harms neither side by wild words, wrong fences and a buffer that it rewrites', async () => {
    const sharing = await join();
    const { target, memory, mapped, writer } = sharing;
    const wrong = encodePointer({ ...result, run: 'another', buffer: 0 }, 1n);
    for (let i = 0; i < 40 && !sharing.attacker.isGone; i++) {
      addon.store(mapped, STATE_AT, (i * 2_654_435_761) % 2 ** 32);
      memory.write(0, new Uint8Array(4 * target.floats).fill(i), 1n);
      writer.publish(wrong, [0]);
      addon.wake(mapped, PUBLISHED_AT);
      await target.advances(1);
    }
    await expectUnharmed(target);
  });

  it('is not read any more once it is gone', async () => {
    const { target, attacker, writer } = await join();
    attacker.vanish();
    await attacker.ended;
    await target.advances(3);
    writer.publish(Buffer.from('from beyond'), [0]);
    await expectUnharmed(target);
  });
});
