import { augmentBounds } from '../../shared/arithmetic/augment.ts';
import { adamRate, createKernels, surroundedBytes } from '../../shared/kernels/kernels.ts';
import { dropoutOperations, parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { initialWeights } from '../../shared/arithmetic/random.ts';
import type { Cell } from './cell.ts';
import { microsecondsPerCall } from './timing.ts';
import { MODEL, SEED } from './workload.ts';

export const kernelNames = ['mask', 'augment', 'add', 'adam', 'check', 'checksum'] as const;
export type KernelName = (typeof kernelNames)[number];

export interface KernelCell extends Cell {
  readonly kernel: KernelName;
  /** Rows of a batch; undefined for kernels that work on a whole gradient. */
  readonly batchSize: number | undefined;
  /** Microseconds per call, one value per repetition. */
  readonly microseconds: number[];
}

const FLOAT_BYTES = 4;
const VECTORS = 5;

/** A cell for each kernel, which runs in this process on vectors of the model's size. */
export function kernelCells(batchSizes: readonly number[], milliseconds: number): KernelCell[] {
  const calls = [
    ...batchSizes.map((batchSize) => ({
      kernel: 'mask' as const,
      batchSize,
      call: maskCall(batchSize),
    })),
    ...batchSizes.map((batchSize) => ({
      kernel: 'augment' as const,
      batchSize,
      call: augmentCall(batchSize),
    })),
    ...vectorCalls().map((each) => ({ ...each, batchSize: undefined })),
  ];
  return calls.map(({ kernel, batchSize, call }) => {
    const microseconds: number[] = [];
    return {
      kernel,
      batchSize,
      microseconds,
      name: batchSize === undefined ? `kernel ${kernel}` : `kernel ${kernel}, batch ${batchSize}`,
      measure: () =>
        Promise.resolve(void microseconds.push(microsecondsPerCall(call, milliseconds))),
    };
  });
}

/** Computes the masks of all dropout layers for one batch. */
function maskCall(rows: number): () => void {
  const dropouts = dropoutOperations(MODEL);
  const kernels = createKernels(
    dropouts.reduce((sum, { units }) => sum + rows * units * FLOAT_BYTES + 64, 0),
  );
  const masks = dropouts.map(({ index: layer, units, rate }) => ({
    layer,
    units,
    rate,
    at: kernels.allocate(rows * units * FLOAT_BYTES),
  }));
  let step = 0;
  return () => {
    step += 1;
    for (const { at, ...mask } of masks)
      kernels.mask(at, { seed: SEED, step, position: 0, rows, ...mask });
  };
}

/** Augments as many images as a batch has. The time does not depend on what they show. */
function augmentCall(images: number): () => void {
  const { rows, columns } = MODEL;
  const size = surroundedBytes(rows, columns);
  const kernels = createKernels(size + rows * columns + 128);
  const surrounded = kernels.allocate(size);
  const at = kernels.allocate(rows * columns);
  const bounds = augmentBounds({ shift: 2, rotate: 10, zoom: 0.1 });
  let sample = 0;
  return () => {
    for (let image = 0; image < images; image++) {
      sample += 1;
      kernels.augment(at, { seed: SEED, epoch: 1, sample, rows, columns, surrounded, bounds });
    }
  };
}

function vectorCalls(): { kernel: KernelName; call: () => void }[] {
  const count = parameterCount(MODEL);
  const kernels = createKernels(VECTORS * (count * FLOAT_BYTES + 64));
  const vector = () => kernels.allocate(count * FLOAT_BYTES);
  const [weights, gradient, sum, firstMoment, secondMoment] = [
    vector(),
    vector(),
    vector(),
    vector(),
    vector(),
  ];
  const initial = initialWeights(SEED, MODEL);
  kernels.floats(weights, count).set(initial);
  // Typical gradient values. None is 0, since that would lead to subnormal moments, which are
  // slower.
  kernels.floats(gradient, count).set(initial.map((value) => 0.01 * value + 1e-4));
  const [beta1, beta2, epsilon, learningRate] = [0.9, 0.999, 1e-7, 0.001];
  const moments = { firstMoment, secondMoment, beta1, beta2, epsilon };
  let step = 0;
  const adam = () => {
    step += 1;
    const rate = adamRate(learningRate, beta1, beta2, step);
    kernels.adam({ from: weights, to: weights, gradient, count, rate, ...moments });
  };
  return [
    { kernel: 'add', call: () => kernels.add(sum, gradient, count) },
    { kernel: 'adam', call: adam },
    { kernel: 'check', call: () => void kernels.check(gradient, count) },
    { kernel: 'checksum', call: () => void kernels.checksum(gradient, count * FLOAT_BYTES) },
  ];
}
