import { defaultVirtualShards } from '../../../shared/arithmetic/virtual-shards.ts';
import * as limits from '../../../shared/limits.ts';
import {
  described,
  trainingCommands,
  withDefault,
  withoutDefault,
  type Settled,
} from '../option.ts';
import { decimal, integer, integers } from '../value-types.ts';

const decay = decimal('a number of at least 0 and below 1', (x) => x >= 0 && x < 1);

export const trainingOptions = {
  epochs: withDefault(integer({ min: 1, max: limits.MAX_EPOCHS }), 5, {
    in: trainingCommands,
    help: 'passes over the training set',
  }),
  steps: withoutDefault(integer({ min: 1, max: limits.MAX_STEPS }), {
    in: ['local', 'coordinator', 'bench'],
    help: 'total number of steps; overrides --epochs (bench: steps of each measured run)',
  }),
  batchSize: withDefault(integer({ min: 1, max: limits.MAX_BATCH_SIZE }), 32, {
    in: trainingCommands,
    help: 'samples per step, across all workers',
  }),
  virtualShards: {
    ...described({
      in: trainingCommands,
      help: 'shards per batch; at most this many workers compute at a time',
    }),
    type: {
      ...integer({ min: 1, max: limits.MAX_VIRTUAL_SHARDS }),
      allowed: `a power of two from 1 to ${limits.MAX_VIRTUAL_SHARDS}, at most --batch-size`,
    },
    defaultText:
      `up to ${limits.MAX_DEFAULT_VIRTUAL_SHARDS}, ` +
      `with at least ${limits.MIN_DEFAULT_SHARD_ROWS} samples each`,
    defaultValue: (settled: Settled) => defaultVirtualShards(Number(settled['batchSize'])),
  },
  learningRate: withDefault(
    decimal('a number above 0, at most 1000', (x) => x > 0 && x <= 1000),
    0.001,
    { in: trainingCommands, help: "Adam's learning rate" },
  ),
  beta1: withDefault(decay, 0.9, {
    in: trainingCommands,
    help: "decay rate of Adam's first moment",
  }),
  beta2: withDefault(decay, 0.999, {
    in: trainingCommands,
    help: "decay rate of Adam's second moment",
  }),
  epsilon: withDefault(
    decimal('a number above 0, at most 1', (x) => x > 0 && x <= 1),
    1e-7,
    { in: trainingCommands, help: "Adam's epsilon" },
  ),
  hidden: withDefault(
    integers({ min: 1, max: limits.MAX_LAYER_UNITS }, limits.MAX_HIDDEN_LAYERS),
    [128],
    { in: trainingCommands, help: 'units in each hidden layer, such as 128 or 256,128' },
  ),
  dropout: withDefault(decay, 0.2, {
    in: trainingCommands,
    help: 'fraction of the hidden units that a training step drops',
  }),
};
