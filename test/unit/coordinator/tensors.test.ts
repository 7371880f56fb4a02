import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { WeightsMessage } from '../../../coordinator/decisions/effects.ts';
import { Tensors } from '../../../coordinator/tensors.ts';
import { decodeFrame, tensorOf } from '../../../shared/wire/frame.ts';
import { SHARED_MEMORY_BUFFERS } from '../../../shared/limits.ts';
import { parameterCount } from '../../../shared/arithmetic/model-shape.ts';
import { PeerMemory, SharedMemory } from '../../../shared/wire/shared-memory.ts';
import { ROOT } from '../../../shared/arithmetic/tree.ts';
import { createKernels } from '../../../shared/kernels/kernels.ts';
import { configurationFixture } from '../../fixtures/configuration.ts';

const configuration = { ...configurationFixture, virtualShards: 1 };
const parameters = parameterCount(configuration.model);
const initial = Float32Array.from({ length: parameters }, (_, i) => i / 1000);
const message: WeightsMessage = { kind: 'step', run: 'r', term: 1, step: 1, assignment: [[0, 1]] };

/** A gradient of ones, as a worker would send it. */
function gradient() {
  const kernels = createKernels(4 * (parameters + 1) + 1024);
  const at = kernels.allocate(4 * (parameters + 1));
  kernels.floats(at, parameters + 1).fill(1);
  const { checksum } = kernels.check(at, parameters + 1);
  const body = kernels.bytes(at, 4 * (parameters + 1));
  return tensorOf({ header: {}, body, checksum });
}

function step(tensors: Tensors, number: number): number | undefined {
  const tensor = gradient();
  if (tensor === undefined) throw new Error('no gradient');
  expect(tensors.receive(tensor, false)).toEqual({
    intact: true,
    stale: false,
    finite: true,
    digest: undefined,
  });
  tensors.accept(ROOT);
  return tensors.update(ROOT, number);
}

describe('a gradient', () => {
  it('has a digest on request', () => {
    const tensors = new Tensors(configuration, initial);
    const tensor = gradient();
    if (tensor === undefined) throw new Error('no gradient');
    const bytes = new Uint8Array(new Float32Array(parameters + 1).fill(1).buffer);
    const digest = createHash('sha256').update(bytes).digest('hex');
    expect(tensors.receive(tensor, true)).toEqual({
      intact: true,
      stale: false,
      finite: true,
      digest,
    });
  });

  it('that was replaced before it was read is distinguished from a damaged one', () => {
    const tensors = new Tensors(configuration, initial);
    const tensor = gradient();
    if (tensor === undefined) throw new Error('no gradient');
    const changed = { ...tensor, checksum: tensor.checksum ^ 1n };
    expect(tensors.receive(changed, false)).toMatchObject({ intact: false, stale: false });
    const replaced = { ...changed, isStale: () => true };
    expect(tensors.receive(replaced, false)).toMatchObject({ intact: false, stale: true });
  });

  it('that is no longer needed frees its buffer for others', () => {
    const tensors = new Tensors(configuration, initial);
    for (let i = 0; i < 100; i++) {
      const tensor = gradient();
      if (tensor === undefined) throw new Error('no gradient');
      tensors.receive(tensor, false);
      tensors.accept(ROOT);
      tensors.forget(ROOT);
    }
    expect(step(tensors, 1)).toBe(1);
  });
});

describe("a gradient's norm", () => {
  it('is that before clipping, and the clipped gradient moves the weights', () => {
    const sgd = { kind: 'sgd', momentum: 0, nesterov: false } as const;
    const clipped = { ...configuration, optimizer: sgd, learningRate: 1, clipNorm: 0.5 };
    const tensors = new Tensors(clipped, initial);
    step(tensors, 1);
    expect(tensors.gradientNorm()).toBe(Math.sqrt(parameters));
    const moved = (initial[0] ?? NaN) - (tensors.weights()[0] ?? NaN);
    expect(moved).toBeCloseTo(0.5 / Math.sqrt(parameters), 6);
  });

  it('is that of the last update, without the loss, until another result arrives', () => {
    const tensors = new Tensors(configuration, initial);
    expect(tensors.gradientNorm()).toBeNaN();
    step(tensors, 1);
    expect(tensors.gradientNorm()).toBeCloseTo(Math.sqrt(parameters), 6);
    const tensor = gradient();
    if (tensor === undefined) throw new Error('no gradient');
    tensors.receive(tensor, false);
    expect(tensors.gradientNorm()).toBeNaN();
  });
});

describe("the optimizer's state", () => {
  it('has as many vectors as the optimizer needs, and restores them', () => {
    const sgd = (momentum: number) => ({ kind: 'sgd', momentum, nesterov: false }) as const;
    for (const [optimizer, vectors] of [
      [configuration.optimizer, 2],
      [sgd(0.9), 1],
      [sgd(0), 0],
    ] as const) {
      const tensors = new Tensors({ ...configuration, optimizer }, initial);
      step(tensors, 1);
      const after = tensors.snapshot();
      expect(after.state).toHaveLength(vectors);
      step(tensors, 2);
      const expected = tensors.checksum;
      const resumed = new Tensors({ ...configuration, optimizer }, initial);
      resumed.restore(after);
      step(resumed, 2);
      expect(resumed.checksum).toBe(expected);
    }
    const other = new Tensors({ ...configuration, optimizer: sgd(0) }, initial).snapshot();
    expect(() => new Tensors(configuration, initial).restore(other)).toThrow('of the optimizer');
  });
});

describe('weights that are being sent', () => {
  it('are the same in a frame and in shared memory', () => {
    const memory = new SharedMemory(4 * parameters);
    const tensors = new Tensors(configuration, initial, memory);
    const outgoing = tensors.outgoing(message);
    const framed = decodeFrame(outgoing.frame().bytes);
    const pointed = decodeFrame(outgoing.pointer());
    expect(framed.header).toEqual(message);
    expect(pointed.header).toEqual({ ...message, buffer: 0 });
    expect(pointed.checksum).toBe(framed.checksum);
    expect(pointed.body?.byteLength).toBe(0);
    const peer = new PeerMemory(memory.address, 4 * parameters);
    const read = new Uint8Array(4 * parameters);
    expect(peer.tensor(0, pointed.checksum).copyTo(read)).toBe(true);
    expect(Buffer.compare(read, framed.body ?? Buffer.alloc(0))).toBe(0);
    peer.close();
    memory.close();
  });

  it('stay in place as long as a worker may need them', () => {
    const tensors = new Tensors(configuration, initial);
    const releases = Array.from({ length: SHARED_MEMORY_BUFFERS - 1 }, (_, i) => {
      const release = tensors.outgoing({ ...message, step: i + 1 }).hold(i);
      expect(step(tensors, i + 1)).toBe(1);
      return release;
    });
    tensors.outgoing({ ...message, step: SHARED_MEMORY_BUFFERS }).hold(9);
    const tensor = gradient();
    if (tensor === undefined) throw new Error('no gradient');
    tensors.receive(tensor, false);
    tensors.accept(ROOT);
    expect(tensors.update(ROOT, SHARED_MEMORY_BUFFERS)).toBeUndefined();
    expect(tensors.slowest()).toEqual([0]);
    releases[0]?.();
    expect(tensors.update(ROOT, SHARED_MEMORY_BUFFERS)).toBe(1);
  });

  it('stay in place until a worker has read them for each of two tasks', () => {
    const tensors = new Tensors(configuration, initial);
    // An evaluation after step 0, and then step 1.
    const releases = [0, 1].map((number) => tensors.outgoing({ ...message, step: number }).hold(3));
    releases[0]?.();
    for (let number = 1; number < SHARED_MEMORY_BUFFERS; number++) {
      expect(step(tensors, number)).toBe(1);
      tensors.outgoing({ ...message, step: number + 1 }).hold(4);
    }
    expect(tensors.slowest()).toEqual([3]);
    releases[1]?.();
    expect(tensors.slowest()).toEqual([4]);
  });

  it('identify the slowest worker, no matter which buffer they are in', () => {
    const tensors = new Tensors(configuration, initial);
    const hold = (slot: number) => {
      const release = tensors.outgoing({ ...message, step: slot + 1 }).hold(slot);
      expect(step(tensors, slot + 1)).toBe(1);
      return release;
    };
    const release = hold(0);
    // The next weights will reuse the first buffer.
    release();
    hold(1);
    hold(2);
    expect(tensors.slowest()).toEqual([1]);
  });
});
