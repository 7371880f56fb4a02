import { closeSync, fchownSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { MAX_SHARED_MEMORY_BYTES, SHARED_MEMORY_BUFFERS } from '../../../../shared/limits.ts';
import { PeerMemory, SharedMemory } from '../../../../shared/wire/shared-memory.ts';
import { HostMemory } from '../../../../worker/host-memory.ts';

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
  it('has buffers that do not overlap', () => {
    const memory = share();
    const peer = peerOf(memory);
    for (let buffer = 0; buffer < SHARED_MEMORY_BUFFERS; buffer++)
      memory.write(buffer, new Uint8Array(BYTES).fill(buffer + 1), 7n);
    for (let buffer = 0; buffer < SHARED_MEMORY_BUFFERS; buffer++) {
      const read = new Uint8Array(BYTES);
      const tensor = peer.tensor(buffer, 7n);
      expect(tensor).toMatchObject({ byteLength: BYTES, checksum: 7n });
      expect(tensor.copyTo(read)).toBe(true);
      expect(read.every((byte) => byte === buffer + 1)).toBe(true);
    }
  });

  it('distinguishes a replaced tensor from a damaged one', () => {
    const memory = share();
    const peer = peerOf(memory);
    const read = new Uint8Array(BYTES);
    memory.write(2, new Uint8Array(BYTES).fill(1), 11n);
    const first = peer.tensor(2, 11n);
    expect(first.isStale()).toBe(false);
    // The next tensor has been announced, but none of its bytes have been written yet.
    expect(() => memory.write(2, new Uint8Array(0), 12n)).not.toThrow();
    expect(first.copyTo(read)).toBe(true);
    expect(read.every((byte) => byte === 1)).toBe(true);
    expect(first.isStale()).toBe(true);
    memory.write(2, new Uint8Array(BYTES).fill(2), 12n);
    expect(first.isStale()).toBe(true);
    const second = peer.tensor(2, 12n);
    expect(second.isStale()).toBe(false);
    // Each buffer has its own stamp.
    memory.write(1, new Uint8Array(BYTES).fill(3), 13n);
    memory.write(3, new Uint8Array(BYTES).fill(4), 14n);
    expect(second.isStale()).toBe(false);
    peer.close();
    expect(second.isStale()).toBe(true);
  });

  it('is not opened with a different secret, a different size or a different file', () => {
    const { address } = share();
    expect(() => new PeerMemory({ ...address, secret: '0'.repeat(64) }, BYTES)).toThrow(
      'has a different secret',
    );
    expect(() => new PeerMemory(address, 2 * BYTES)).toThrow(`bytes, not`);
    const descriptor = openSync(fileURLToPath(import.meta.url), 'r');
    onTestFinished(() => closeSync(descriptor));
    expect(() => new PeerMemory({ ...address, descriptor }, BYTES)).toThrow('not a nameless file');
    expect(() => new PeerMemory({ ...address, descriptor: 1_000_000 }, BYTES)).toThrow('ENOENT');
  });

  it('is not opened if it belongs to another user or has a name', () => {
    const { address } = share();
    const path = `/dev/shm/mnist-dist-test-${process.pid} (deleted)`;
    const descriptor = openSync(path, 'w+');
    onTestFinished(() => {
      closeSync(descriptor);
      rmSync(path);
    });
    expect(() => new PeerMemory({ ...address, descriptor }, BYTES)).toThrow('of this user');
    // Only root can give its file to another user.
    if (process.getuid?.() !== 0) return;
    fchownSync(address.descriptor, 12_345, 12_345);
    expect(() => new PeerMemory(address, BYTES)).toThrow('of this user');
  });

  it('reports a failed copy when its owner has truncated it', () => {
    const memory = share();
    const peer = peerOf(memory);
    ftruncateSync(memory.address.descriptor, 5000);
    expect(peer.tensor(0, 0n).copyTo(new Uint8Array(BYTES))).toBe(false);
  });

  it('cannot be read once it has been closed', () => {
    const memory = share();
    const peer = new PeerMemory(memory.address, BYTES);
    const tensor = peer.tensor(0, 0n);
    peer.close();
    peer.close();
    expect(tensor.copyTo(new Uint8Array(BYTES))).toBe(false);
  });

  it('is not created beyond its limit', () => {
    expect(() => new SharedMemory(MAX_SHARED_MEMORY_BYTES)).toThrow('MAX_SHARED_MEMORY_BYTES');
  });
});

describe.skipIf(process.platform !== 'linux')("a worker's shared memory", () => {
  it('is used once the coordinator has used its own, each buffer once per step', () => {
    const parameters = 100;
    const coordinator = new SharedMemory(4 * parameters);
    onTestFinished(() => coordinator.close());
    const worker = new HostMemory(coordinator.address, parameters);
    onTestFinished(() => worker.close());
    const gradient = new Uint8Array(4 * (parameters + 1)).fill(9);
    expect(worker.put(gradient, 5n)).toBeUndefined();
    worker.weights(0, 0n);
    const buffers = Array.from({ length: SHARED_MEMORY_BUFFERS }, () => worker.put(gradient, 5n));
    expect(buffers).toEqual([0, 1, 2, 3]);
    expect(worker.put(gradient, 5n)).toBeUndefined();
    worker.begin();
    expect(worker.put(gradient, 5n)).toBe(0);
    const peer = new PeerMemory(worker.address, 4 * (parameters + 1));
    onTestFinished(() => peer.close());
    const read = new Uint8Array(4 * (parameters + 1));
    expect(peer.tensor(3, 0n).copyTo(read)).toBe(true);
    expect(read).toEqual(gradient);
  });
});
