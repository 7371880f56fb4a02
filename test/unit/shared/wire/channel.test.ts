import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ClusterError } from '../../../../shared/errors.ts';
import {
  BLOCK_MICROSECONDS,
  CHANNEL_FRAME_BYTES,
  CHANNEL_FRAMES,
  MAX_BLOCKING_MILLISECONDS,
  MAX_CONNECTIONS,
  SPIN_MICROSECONDS,
} from '../../../../shared/limits.ts';
import {
  ASLEEP,
  ChannelReader,
  ChannelWriter,
  PEERS_AT,
  PUBLISHED_AT,
  STATE_AT,
} from '../../../../shared/wire/channel.ts';
import type { MappedMemory, MemoryAddon } from '../../../../shared/wire/memory-addon.ts';
import { Rendezvous, type PeerHandlers } from '../../../../shared/wire/rendezvous.ts';
import { PeerMemory, SharedMemory } from '../../../../shared/wire/shared-memory.ts';
import { compiledMemoryAddon } from '../../../fixtures/engine/memory-addon.ts';

const BYTES = 100;
let addon: MemoryAddon;
let file = '';

beforeAll(async () => {
  ({ addon, file } = await compiledMemoryAddon(afterAll));
});

/** A process's memory, and the same as a peer maps it. */
function share(): { shared: SharedMemory; own: MappedMemory; theirs: MappedMemory } {
  const shared = new SharedMemory(BYTES, addon);
  const peer = new PeerMemory(shared.address, BYTES, addon);
  onTestFinished(() => {
    peer.close();
    shared.close();
  });
  if (shared.mapped === undefined || peer.mapped === undefined) throw new Error('not mapped');
  return { shared, own: shared.mapped, theirs: peer.mapped };
}

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return error instanceof ClusterError ? error.code : String(error);
  }
}

describe.skipIf(process.platform !== 'linux')('mapped memory', () => {
  it('holds tensors, which a peer reads with and without the addon', () => {
    const { shared } = share();
    for (const reader of [addon, undefined]) {
      const peer = new PeerMemory(shared.address, BYTES, reader);
      const read = new Uint8Array(BYTES);
      shared.write(3, new Uint8Array(BYTES).fill(9), 5n);
      expect(peer.tensor(3, 5n).copyTo(read)).toBe(true);
      expect(read.every((byte) => byte === 9)).toBe(true);
      expect([peer.tensor(3, 5n).isStale(), peer.tensor(3, 6n).isStale()]).toEqual([false, true]);
      peer.close();
      expect(peer.tensor(3, 5n).copyTo(read)).toBe(false);
    }
  });

  it('cannot be resized, by its owner or by a peer', () => {
    const { shared } = share();
    expect(() => ftruncateSync(shared.address.descriptor, 10)).toThrow('EPERM');
    expect(() => ftruncateSync(shared.address.descriptor, 10_000_000)).toThrow('EPERM');
  });

  it('is not mapped if its owner could resize it', async () => {
    const program = [
      'import os, sys',
      'memory = os.memfd_create("mnist-dist", 0)',
      'os.ftruncate(memory, int(sys.argv[1]))',
      'print(memory, flush=True)',
      'sys.stdin.read()',
    ].join('\n');
    const { shared } = share();
    const bytes = 4096 + CHANNEL_FRAMES * CHANNEL_FRAME_BYTES + 4 * 4096;
    const child = spawn('python3', ['-c', program, String(bytes)]);
    onTestFinished(() => void child.kill());
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const address = { ...shared.address, process: child.pid ?? 0, descriptor: Number(line) };
    expect(() => new PeerMemory(address, BYTES, addon)).toThrow('its size is not sealed');
    // Without a mapping, a truncated file costs only the tensor.
    expect(() => new PeerMemory(address, BYTES)).toThrow('has a different secret');
  });

  it('refuses positions outside it, and writes to a peer', () => {
    const { own, theirs } = share();
    const big = 2 ** 31;
    for (const [at, length] of [
      [big, 1],
      [-1, 1],
      [0.5, 1],
      [4096, big / 64],
    ] as const)
      expect(() => addon.read(theirs, at, new Uint8Array(length))).toThrow(/inside|in range/);
    expect(() => addon.load(theirs, 2)).toThrow('not a word');
    expect(() => addon.load(theirs, big)).toThrow('not a word');
    expect(() => addon.store(theirs, 0, 1)).toThrow('read-only');
    expect(() => addon.write(theirs, 0, new Uint8Array(1))).toThrow('read-only');
    expect(() => addon.wait(theirs, 0, [own], 0, [0], 1)).toThrow('read-only');
    expect(() => addon.wait(own, 0, [own, own], 0, [0], 1)).toThrow('1 to 128');
    expect(() => addon.load({}, 0)).toThrow('not a memory');
  });

  it('cannot be used once it is closed', () => {
    const shared = new SharedMemory(BYTES, addon);
    const { mapped = {} } = shared;
    shared.close();
    expect(() => addon.load(mapped, 0)).toThrow('not a word');
    expect(() => addon.read(mapped, 0, new Uint8Array(1))).toThrow('not inside');
    expect(() => closeSync(shared.address.descriptor)).toThrow('EBADF');
    addon.close(mapped);
  });
});

describe.skipIf(process.platform !== 'linux')('a channel', () => {
  it('delivers frames in order, each only to the slots that it is for', () => {
    const { own, theirs } = share();
    const writer = new ChannelWriter(addon, own);
    const last = MAX_CONNECTIONS;
    const readers = [0, 7, last].map((slot) => new ChannelReader(addon, theirs, slot, 1));
    const heard: string[][] = [[], [], []];
    for (let i = 0; i < 3 * CHANNEL_FRAMES; i++) {
      const slots = [0, 7, last].filter((_, reader) => (i >> reader) % 2 === 0);
      writer.publish(Buffer.from(`frame ${i}`), slots);
      readers.forEach((reader, r) => {
        for (let frame = reader.read(); frame !== undefined; frame = reader.read())
          heard[r]?.push(frame.toString());
      });
    }
    const expected = [0, 1, 2].map((reader) =>
      Array.from({ length: 3 * CHANNEL_FRAMES }, (_, i) => i)
        .filter((i) => (i >> reader) % 2 === 0)
        .map((i) => `frame ${i}`),
    );
    expect(heard).toEqual(expected);
  });

  it('starts at a given frame', () => {
    const { own, theirs } = share();
    const writer = new ChannelWriter(addon, own);
    writer.publish(Buffer.from('old'), [1]);
    const reader = new ChannelReader(addon, theirs, 1, writer.next);
    expect(reader.read()).toBeUndefined();
    writer.publish(Buffer.from('new'), [1]);
    expect(reader.read()?.toString()).toBe('new');
  });

  it('lets a reader that no frame is for fall behind', () => {
    const { own, theirs } = share();
    const writer = new ChannelWriter(addon, own);
    const reader = new ChannelReader(addon, theirs, 1, 1);
    for (let i = 0; i < 3 * CHANNEL_FRAMES; i++) writer.publish(Buffer.from('x'), [2]);
    writer.publish(Buffer.from('mine'), [1]);
    expect(reader.read()?.toString()).toBe('mine');
    for (let i = 0; i < 3 * CHANNEL_FRAMES; i++) writer.publish(Buffer.from('x'), [2]);
    expect(reader.read()).toBeUndefined();
    expect(reader.last).toBe(6 * CHANNEL_FRAMES + 1);
  });

  it('gives a reader that has fallen behind the frames that are still there', () => {
    const { own, theirs } = share();
    const writer = new ChannelWriter(addon, own);
    const reader = new ChannelReader(addon, theirs, 1, 1);
    for (let i = 1; i <= CHANNEL_FRAMES + 5; i++) writer.publish(Buffer.from(`${i}`), [1]);
    const heard = Array.from({ length: CHANNEL_FRAMES }, () => reader.read()?.toString());
    expect(heard).toEqual(Array.from({ length: CHANNEL_FRAMES }, (_, i) => `${i + 6}`));
    expect(reader.read()).toBeUndefined();
  });

  it('says TIMEOUT to a reader that has lost the last frame for it', () => {
    const { own, theirs } = share();
    const writer = new ChannelWriter(addon, own);
    const reader = new ChannelReader(addon, theirs, 1, 1);
    writer.publish(Buffer.from('lost'), [1]);
    for (let i = 0; i < CHANNEL_FRAMES; i++) writer.publish(Buffer.from('x'), [2]);
    expect(codeOf(() => reader.read())).toBe('TIMEOUT');
  });

  it('takes frames up to the size of an entry', () => {
    const { own, theirs } = share();
    const largest = CHANNEL_FRAME_BYTES - 4 * (3 + MAX_CONNECTIONS / 32);
    const frame = Buffer.alloc(largest, 3);
    expect(ChannelWriter.fits(frame)).toBe(true);
    expect(ChannelWriter.fits(Buffer.alloc(largest + 1))).toBe(false);
    new ChannelWriter(addon, own).publish(frame, [2]);
    expect(new ChannelReader(addon, theirs, 2, 1).read()?.equals(frame)).toBe(true);
  });

  it.each<[string, string, (own: MappedMemory) => void]>([
    [
      'a counter far ahead',
      'TIMEOUT',
      (own) => {
        new ChannelWriter(addon, own).publish(Buffer.from('x'), [1]);
        addon.store(own, PUBLISHED_AT, 2 ** 30);
      },
    ],
    [
      'a counter before its frames',
      'TIMEOUT',
      (own) => {
        new ChannelWriter(addon, own).publish(Buffer.from('x'), [1]);
        addon.store(own, PUBLISHED_AT, 5);
        addon.store(own, 1152 + 4, 5);
      },
    ],
    [
      'a length beyond the entry',
      'PROTOCOL',
      (own) => {
        new ChannelWriter(addon, own).publish(Buffer.from('x'), [1]);
        addon.store(own, 4096 + CHANNEL_FRAME_BYTES + 4, 2 ** 32 - 1);
      },
    ],
    [
      'an entry that is rewritten while it is read',
      'TIMEOUT',
      (own) => {
        new ChannelWriter(addon, own).publish(Buffer.from('x'), [1]);
        addon.store(own, 4096 + CHANNEL_FRAME_BYTES, 0);
      },
    ],
  ])('ends with an error for %s', (_, code, lie) => {
    const { own, theirs } = share();
    lie(own);
    const reader = new ChannelReader(addon, theirs, 1, 1);
    const readAll = () => {
      while (reader.read() !== undefined);
    };
    expect(codeOf(readAll)).toBe(code);
  });
});

describe.skipIf(process.platform !== 'linux')('a rendezvous', () => {
  /** Stands for two processes. Each reads the other's channel as slot 1. */
  function pair() {
    const [a, b] = [share(), share()];
    const side = (mine: ReturnType<typeof share>, other: ReturnType<typeof share>) => {
      const rendezvous = new Rendezvous(addon, mine.own);
      onTestFinished(() => rendezvous.close());
      const heard: string[] = [];
      const seen = { heard, failed: [] as string[], rung: 0 };
      const handlers: PeerHandlers = {
        hear: (frame) => heard.push(frame.toString()),
        failed: ({ code }) => seen.failed.push(code),
        ring: () => (seen.rung += 1),
      };
      const peer = rendezvous.join(other.theirs, { slot: 1, readsAs: 1, from: 1 }, handlers);
      return { ...mine, rendezvous, peer, seen, handlers };
    };
    return { a: side(a, b), b: side(b, a) };
  }

  it('hears frames while it expects them, and falls asleep when none come', async () => {
    const { a, b } = pair();
    expect(a.peer.isAwake()).toBe(false);
    b.rendezvous.expect();
    expect(a.peer.isAwake()).toBe(true);
    a.rendezvous.publish(Buffer.from('one'), [a.peer]);
    await setImmediate();
    await setImmediate();
    expect(b.seen.heard).toEqual(['one']);
    await sleep(2 * MAX_BLOCKING_MILLISECONDS);
    expect(a.peer.isAwake()).toBe(false);
    expect(a.seen.rung).toBe(0);
  });

  it('rings a peer that fell asleep, which then hears the frame', () => {
    const { a, b } = pair();
    a.rendezvous.publish(Buffer.from('one'), [a.peer]);
    expect([a.seen.rung, b.seen.heard]).toEqual([1, []]);
    b.rendezvous.poll();
    expect(b.seen.heard).toEqual(['one']);
  });

  it('hears a frame that was published while it fell asleep', async () => {
    const [mine, other] = [share(), share()];
    const writer = new ChannelWriter(addon, other.own);
    let isLate = false;
    const watched: MemoryAddon = {
      ...addon,
      store: (memory, at, value) => {
        // The peer has just looked whether this process is asleep.
        if (at === STATE_AT && value === ASLEEP && isLate && memory === mine.own) {
          writer.publish(Buffer.from('late'), [1]);
          isLate = false;
        }
        addon.store(memory, at, value);
      },
    };
    const rendezvous = new Rendezvous(watched, mine.own);
    onTestFinished(() => rendezvous.close());
    const heard: string[] = [];
    rendezvous.join(
      other.theirs,
      { slot: 1, readsAs: 1, from: 1 },
      {
        hear: (frame) => heard.push(frame.toString()),
        failed: () => undefined,
        ring: () => undefined,
      },
    );
    isLate = true;
    rendezvous.expect();
    await sleep(3 * MAX_BLOCKING_MILLISECONDS);
    expect(heard).toEqual(['late']);
  });

  it.each([
    ['auto', 1, SPIN_MICROSECONDS],
    ['auto', 1000, 0],
    [0, 1, 0],
    [50, 1000, 50],
  ] as const)('with spin %s and a peer that has %d peers, spins %d us', async (spin, peers, us) => {
    const [mine, other] = [share(), share()];
    const spun: number[] = [0];
    const watched = { ...addon, spin: (microseconds: number) => spun.push(microseconds) };
    const rendezvous = new Rendezvous(watched, mine.own, spin);
    onTestFinished(() => rendezvous.close());
    addon.store(other.own, PEERS_AT, peers);
    const ignored = { hear: () => undefined, failed: () => undefined, ring: () => undefined };
    rendezvous.join(other.theirs, { slot: 1, readsAs: 1, from: 1 }, ignored);
    expect(addon.load(mine.own, PEERS_AT)).toBe(1);
    rendezvous.expect();
    await setImmediate();
    await setImmediate();
    // Two processes can have a core each unless there is only one.
    expect(spun.at(-1)).toBe(spin === 'auto' && availableParallelism() < 2 ? 0 : us);
  });

  it('finds a change while it spins, and sleeps if there is none', () => {
    const [mine, other] = [share(), share()];
    addon.spin(1_000);
    onTestFinished(() => addon.spin(0));
    const wait = (value: number) =>
      addon.wait(mine.own, STATE_AT, [other.theirs], PUBLISHED_AT, [value], 2_000);
    addon.store(mine.own, STATE_AT, 7);
    expect(wait(1)).toBe(true);
    // A process that has not slept has not said that it waits.
    expect(addon.load(mine.own, STATE_AT)).toBe(7);
    expect(wait(0)).toBe(true);
    expect(addon.load(mine.own, STATE_AT)).toBe(0);
  });

  it('waits no longer once no frame is due', async () => {
    const { a, b } = pair();
    b.handlers.hear = () => b.rendezvous.relax();
    b.rendezvous.expect();
    a.rendezvous.publish(Buffer.from('one'), [a.peer]);
    await setImmediate();
    await setImmediate();
    expect(a.peer.isAwake()).toBe(false);
  });

  it.each(['hears a frame', 'cannot read a peer'])(
    'may be closed when it %s while it waits, and does not use its memory afterwards',
    async (cause) => {
      const [mine, other] = [share(), share()];
      const used: string[] = [];
      let isClosed = false;
      const watched: MemoryAddon = {
        ...addon,
        store: (memory, at, value) => {
          if (isClosed) used.push(`store ${at}`);
          addon.store(memory, at, value);
        },
        wait: (own, ...rest) => {
          if (isClosed) used.push('wait');
          return addon.wait(own, ...rest);
        },
      };
      const rendezvous = new Rendezvous(watched, mine.own);
      const close = () => {
        isClosed = true;
        rendezvous.close();
      };
      rendezvous.join(
        other.theirs,
        { slot: 1, readsAs: 1, from: 1 },
        { hear: close, failed: close, ring: () => undefined },
      );
      rendezvous.expect();
      const writer = new ChannelWriter(addon, other.own);
      writer.publish(Buffer.from('one'), [1]);
      if (cause !== 'hears a frame') addon.store(other.own, 4096 + CHANNEL_FRAME_BYTES, 0);
      await setImmediate();
      await setImmediate();
      await sleep(2 * MAX_BLOCKING_MILLISECONDS);
      expect([isClosed, used]).toEqual([true, []]);
    },
  );

  it('turns the event loop while it waits', async () => {
    const { b } = pair();
    b.rendezvous.expect();
    const began = performance.now();
    let turns = 0;
    while (addon.load(b.own, STATE_AT) !== ASLEEP && performance.now() - began < 10_000) {
      turns += 1;
      await setImmediate();
    }
    expect(addon.load(b.own, STATE_AT)).toBe(ASLEEP);
    // A turn may last longer on a busy machine, never without end.
    expect(turns).toBeGreaterThanOrEqual(2);
    expect(BLOCK_MICROSECONDS).toBeLessThan(1000 * MAX_BLOCKING_MILLISECONDS);
  });

  it('is not woken for frames to others, and drops a peer that lies', async () => {
    const { a, b } = pair();
    a.rendezvous.publish(Buffer.from('to no peer'), []);
    b.rendezvous.poll();
    expect([b.seen.heard, a.seen.rung]).toEqual([[], 0]);
    addon.store(a.own, PUBLISHED_AT, 2 ** 30);
    addon.store(a.own, 1152 + 4, 2 ** 30);
    b.rendezvous.poll();
    b.rendezvous.poll();
    expect(b.seen.failed).toEqual(['TIMEOUT']);
    // Without a peer, nothing is expected.
    b.rendezvous.expect();
    await setImmediate();
    expect(addon.load(b.own, STATE_AT)).toBe(ASLEEP);
  });

  it('hears a bounded number of frames at a time from a peer that never pauses', () => {
    const { a, b } = pair();
    let more = true;
    b.handlers.hear = () => {
      b.seen.heard.push('x');
      if (more) a.rendezvous.publish(Buffer.from('next'), [a.peer]);
    };
    a.rendezvous.publish(Buffer.from('first'), [a.peer]);
    b.rendezvous.poll();
    expect(b.seen.heard).toHaveLength(CHANNEL_FRAMES);
    more = false;
  });

  it('can be closed by a frame, and hears nothing afterwards', () => {
    const { a, b } = pair();
    b.handlers.hear = () => {
      b.seen.heard.push('x');
      b.rendezvous.close();
    };
    for (const text of ['one', 'two']) a.rendezvous.publish(Buffer.from(text), [a.peer]);
    b.rendezvous.poll();
    b.rendezvous.expect();
    expect(b.seen.heard).toEqual(['x']);
  });

  it('wakes another process that waits, at once', async () => {
    const { a } = pair();
    const waiter = `
      const addon = require(${JSON.stringify(file)});
      const [path, bytes] = process.argv.slice(1);
      const theirs = addon.open(path, Number(bytes));
      const own = addon.create(4096);
      process.stdout.write('ready\\n');
      const began = performance.now();
      addon.wait(own.memory, 0, [theirs, theirs], ${PUBLISHED_AT}, [0, 0], 20e6);
      process.stdout.write(String(addon.load(theirs, ${PUBLISHED_AT})));
    `;
    const bytes = 4096 + CHANNEL_FRAMES * CHANNEL_FRAME_BYTES + 4 * 4096;
    const path = `/proc/${process.pid}/fd/${a.shared.address.descriptor}`;
    const child = spawn(process.execPath, ['-e', waiter, path, String(bytes)]);
    onTestFinished(() => void child.kill());
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await once(child.stdout, 'data');
    new ChannelWriter(addon, a.own).publish(Buffer.from('x'), [1]);
    // It may not be waiting yet; the kernel then compares the word.
    addon.wake(a.own, PUBLISHED_AT);
    await once(child, 'close');
    expect(output).toBe('ready\n1');
  });
});
