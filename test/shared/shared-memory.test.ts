import { closeSync, ftruncateSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_SHARED_MEMORY_BYTES, SHARED_MEMORY_ROOMS } from '../../shared/limits.ts';
import { PeerMemory, SharedMemory } from '../../shared/shared-memory.ts';
import { HostMemory } from '../../worker/host-memory.ts';

const BYTES = 10_000;

function share(): SharedMemory {
  const memory = new SharedMemory(BYTES);
  onTestFinished(() => memory.close());
  return memory;
}

function peerOf(memory: SharedMemory): PeerMemory {
  const peer = new PeerMemory(memory.address, BYTES);
  onTestFinished(() => peer.close());
  return peer;
}

describe.skipIf(process.platform !== 'linux')('shared memory', () => {
  it('keeps every room apart from the others', () => {
    const memory = share();
    const peer = peerOf(memory);
    for (let room = 0; room < SHARED_MEMORY_ROOMS; room++)
      memory.write(room, new Uint8Array(BYTES).fill(room + 1));
    for (let room = 0; room < SHARED_MEMORY_ROOMS; room++) {
      const read = new Uint8Array(BYTES);
      const tensor = peer.tensor(room, 7n);
      expect(tensor).toMatchObject({ byteLength: BYTES, checksum: 7n });
      expect(tensor.copyTo(read)).toBe(true);
      expect(read.every((byte) => byte === room + 1)).toBe(true);
    }
  });

  it('is not opened with another secret, for another size, or where another file is', () => {
    const { address } = share();
    expect(() => new PeerMemory({ ...address, secret: '0'.repeat(64) }, BYTES)).toThrow('of another process');
    expect(() => new PeerMemory(address, 2 * BYTES)).toThrow(`bytes, not`);
    const descriptor = openSync(fileURLToPath(import.meta.url), 'r');
    onTestFinished(() => closeSync(descriptor));
    expect(() => new PeerMemory({ ...address, descriptor }, BYTES)).toThrow('another file');
    expect(() => new PeerMemory({ ...address, descriptor: 1_000_000 }, BYTES)).toThrow('ENOENT');
  });

  it('says so when its owner has cut it short', () => {
    const memory = share();
    const peer = peerOf(memory);
    ftruncateSync(memory.address.descriptor, 5000);
    expect(peer.tensor(0, 0n).copyTo(new Uint8Array(BYTES))).toBe(false);
  });

  it('yields nothing after it was closed', () => {
    const memory = share();
    const peer = new PeerMemory(memory.address, BYTES);
    const tensor = peer.tensor(0, 0n);
    peer.close();
    peer.close();
    expect(tensor.copyTo(new Uint8Array(BYTES))).toBe(false);
  });

  it('is not made beyond its limit', () => {
    expect(() => new SharedMemory(MAX_SHARED_MEMORY_BYTES)).toThrow('MAX_SHARED_MEMORY_BYTES');
  });
});

describe.skipIf(process.platform !== 'linux')("a worker's end", () => {
  it('puts gradients into rooms once the coordinator used its own, each room once a step', () => {
    const parameters = 100;
    const coordinator = new SharedMemory(4 * parameters);
    onTestFinished(() => coordinator.close());
    const worker = new HostMemory(coordinator.address, parameters);
    onTestFinished(() => worker.close());
    const gradient = new Uint8Array(4 * (parameters + 1)).fill(9);
    expect(worker.put(gradient)).toBeUndefined();
    worker.weights(0, 0n);
    const rooms = Array.from({ length: SHARED_MEMORY_ROOMS }, () => worker.put(gradient));
    expect(rooms).toEqual([0, 1, 2, 3]);
    expect(worker.put(gradient)).toBeUndefined();
    worker.begin();
    expect(worker.put(gradient)).toBe(0);
    const peer = new PeerMemory(worker.address, 4 * (parameters + 1));
    onTestFinished(() => peer.close());
    const read = new Uint8Array(4 * (parameters + 1));
    expect(peer.tensor(3, 0n).copyTo(read)).toBe(true);
    expect(read).toEqual(gradient);
  });
});
