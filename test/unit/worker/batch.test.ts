import { describe, expect, it } from 'vitest';
import { augmentBounds, type Augment } from '../../../shared/arithmetic/augment.ts';
import { createKernels } from '../../../shared/kernels/kernels.ts';
import { augment } from '../../../shared/kernels/reference-augment.ts';
import { denseModel } from '../../../shared/arithmetic/model-shape.ts';
import { maskRow } from '../../../shared/arithmetic/random.ts';
import { planStep } from '../../../shared/arithmetic/schedule.ts';
import type { StepPlan } from '../../../shared/arithmetic/schedule.ts';
import { firstShard } from '../../../shared/arithmetic/tree.ts';
import { batchBytes, createBatchBuilder } from '../../../worker/batch.ts';
import type { BatchBuilder, BatchShape } from '../../../worker/batch.ts';

const SAMPLES = 50;
const INPUTS = 6;
const HIDDEN = [5, 3];
const shape: BatchShape = {
  model: denseModel([2, 3], HIDDEN, 0.25, 10),
  virtualShards: 4,
  rowsPerShard: 3,
  seed: 2 ** 40 + 9,
};
// Sample s has the pixels 5s, 5s + 1, ... (modulo 256), and its class is s % 10.
const images = Uint8Array.from(
  { length: SAMPLES * INPUTS },
  (_, i) => 5 * Math.floor(i / INPUTS) + (i % INPUTS),
);
const labels = Uint8Array.from({ length: SAMPLES }, (_, s) => s % 10);
const order = Uint32Array.from({ length: SAMPLES }, (_, i) => (i * 7 + 3) % SAMPLES);
const schedule = { trainSamples: SAMPLES, batchSize: 12, virtualShards: 4, epochs: 9 };

function builder(): BatchBuilder {
  return createBatchBuilder(createKernels(batchBytes(shape)), shape, { images, labels });
}

function sampleOf(plan: StepPlan, row: number): number {
  return order[plan.start + row] ?? NaN;
}

describe('a batch', () => {
  it("has its subtree's rows in the epoch's order, as float32(pixel / 255)", () => {
    const plan = planStep(schedule, 2);
    const batch = builder().build(plan, 3, order);
    expect([batch.shards, batch.rowsPerShard, batch.labels.length]).toEqual([2, 3, 6]);
    for (let row = 0; row < 6; row++) {
      const sample = sampleOf(plan, 6 + row);
      expect(batch.labels[row]).toBe(sample % 10);
      expect(batch.scale[row]).toBe(Math.fround(1 / 12));
      for (let i = 0; i < INPUTS; i++) {
        expect(batch.inputs[row * INPUTS + i]).toBe(
          Math.fround((images[sample * INPUTS + i] ?? NaN) / 255),
        );
      }
    }
  });

  it('has the masks for its positions in the global batch, for a subtree of any size', () => {
    const plan = planStep(schedule, 2);
    for (const [node, first, rows] of [
      [1, 0, 12],
      [3, 6, 6],
      [5, 3, 3],
    ] as const) {
      const batch = builder().build(plan, node, order);
      HIDDEN.forEach((units, layer) => {
        for (let row = 0; row < rows; row++) {
          const expected = new Float32Array(units);
          maskRow(expected, { seed: shape.seed, step: 2, position: first + row, layer }, 0.25);
          expect(batch.masks[layer]?.subarray(row * units, (row + 1) * units)).toEqual(expected);
        }
      });
    }
  });

  it('is padded if it is short, even in memory that held a full batch before', () => {
    const made = builder();
    made.build(planStep(schedule, 3), 1, order);
    // Step 5 has 2 of 12 samples, and reuses step 3's memory.
    const plan = planStep(schedule, 5);
    expect(plan.samples).toBe(2);
    const batch = made.build(plan, 4, order);
    expect([...batch.labels]).toEqual([sampleOf(plan, 0) % 10, sampleOf(plan, 1) % 10, -1]);
    expect([...batch.scale]).toEqual([0.5, 0.5, 0]);
    expect([...batch.inputs.subarray(2 * INPUTS)]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('does not depend on batches that were built earlier', () => {
    const plan = planStep(schedule, 3);
    const alone = builder().build(plan, 2, order);
    const used = builder();
    for (const [step, node] of [
      [1, 1],
      [2, 2],
      [3, 5],
    ] as const)
      used.build(planStep(schedule, step), node, order);
    expect(used.build(plan, 2, order)).toEqual(alone);
  });

  it('does not change while the batch of the next step is built', () => {
    const made = builder();
    const batch = made.build(planStep(schedule, 1), 1, order);
    const before = {
      inputs: batch.inputs.slice(),
      labels: batch.labels.slice(),
      mask: batch.masks[0]?.slice(),
    };
    made.build(planStep(schedule, 2), 1, order);
    expect({ inputs: batch.inputs, labels: batch.labels, mask: batch.masks[0] }).toEqual(before);
  });

  it('has no masks without dropout', () => {
    const without = { ...shape, model: denseModel([2, 3], HIDDEN, 0, 10) };
    const made = createBatchBuilder(createKernels(batchBytes(without)), without, {
      images,
      labels,
    });
    expect(made.build(planStep(schedule, 1), 1, order).masks).toEqual([]);
  });
});

describe('a batch with augmentation', () => {
  const amounts: Augment = { shift: 1.5, rotate: 90, zoom: 0.25 };
  const augmented: BatchShape = { ...shape, augment: amounts };
  const augmentedBuilder = () =>
    createBatchBuilder(createKernels(batchBytes(augmented)), augmented, { images, labels });

  /** The bytes of a sample in an epoch, as float32. */
  function expected(sample: number, epoch: number): number[] {
    const pixels = images.subarray(sample * INPUTS, (sample + 1) * INPUTS);
    const key = { seed: shape.seed, epoch, sample };
    const moved = augment({ rows: 2, columns: 3, pixels }, key, augmentBounds(amounts));
    return Array.from(moved, (byte) => Math.fround(byte / 255));
  }

  it('has the image that the seed, the epoch and the sample determine in each row', () => {
    // Steps 2 and 7 are in the first and the second epoch, of 5 steps each.
    for (const [step, epoch] of [
      [2, 1],
      [7, 2],
    ] as const) {
      const plan = planStep(schedule, step);
      expect(plan.epoch).toBe(epoch);
      const { inputs } = augmentedBuilder().build(plan, 1, order);
      const rows = Array.from({ length: 12 }, (_, row) => expected(sampleOf(plan, row), epoch));
      expect([...inputs]).toEqual(rows.flat());
    }
  });

  it('has the same rows wherever a sample is in the batch, and for any grouping', () => {
    const rowOf = new Map<number, string>();
    for (const [virtualShards, nodes] of [
      [4, [1]],
      [4, [2, 3]],
      [4, [7, 4, 6, 5]],
      [1, [1]],
      [2, [3, 2]],
      [8, [9, 5, 8, 3]],
    ] as const)
      // Another order of the samples puts each of them into another row.
      for (const samples of [order, order.toReversed()]) {
        const rowsPerShard = Math.ceil(12 / virtualShards);
        const other = { ...augmented, virtualShards, rowsPerShard };
        const kernels = createKernels(batchBytes(other));
        const made = createBatchBuilder(kernels, other, { images, labels });
        const plan = planStep({ ...schedule, virtualShards }, 8);
        for (const node of nodes) {
          const first = firstShard(node, virtualShards) * rowsPerShard;
          const { inputs, labels: classes } = made.build(plan, node, samples);
          for (let row = 0; row < classes.length && first + row < plan.samples; row++) {
            const sample = samples[plan.start + first + row] ?? NaN;
            const bytes = inputs.subarray(row * INPUTS, (row + 1) * INPUTS).join(' ');
            expect(rowOf.get(sample) ?? bytes).toBe(bytes);
            rowOf.set(sample, bytes);
          }
        }
      }
    // Two samples are in both orders' batches.
    expect(rowOf.size).toBe(22);
  });

  it('has padding that is not augmented', () => {
    const made = augmentedBuilder();
    made.build(planStep(schedule, 3), 1, order);
    const plan = planStep(schedule, 5);
    const batch = made.build(plan, 4, order);
    expect([...batch.inputs.subarray(0, INPUTS)]).toEqual(expected(sampleOf(plan, 0), 1));
    expect([...batch.labels.subarray(2), ...batch.inputs.subarray(2 * INPUTS)]).toEqual([
      -1,
      ...Array.from({ length: INPUTS }, () => 0),
    ]);
  });

  it('exists beside the same batch without augmentation, in any order', () => {
    const plan = planStep(schedule, 1);
    const plain = builder().build(plan, 1, order).inputs.slice();
    const moved = augmentedBuilder().build(plan, 1, order).inputs.slice();
    expect(moved).not.toEqual(plain);
    const made = augmentedBuilder();
    expect(made.buildPlain(plan, 2, order).inputs).toEqual(plain.subarray(0, 36));
    expect(made.build(plan, 1, order).inputs).toEqual(moved);
    expect(made.buildPlain(plan, 1, order).inputs).toEqual(plain);
    expect(made.build(plan, 3, order).inputs).toEqual(moved.subarray(36));
  });
});
