import { NO_AUGMENT } from '../../../shared/arithmetic/augment.ts';
import { optimizerKinds, scheduleKinds } from '../../../shared/arithmetic/kinds.ts';
import { defaultVirtualShards } from '../../../shared/arithmetic/virtual-shards.ts';
import * as limits from '../../../shared/limits.ts';
import { MAX_HIDDEN_LAYERS, MAX_LAYER_UNITS } from '../../../shared/limits/model.ts';
import { augmentType } from '../augment-type.ts';
import {
  described,
  trainingCommands,
  withDefault,
  withDefaultIf,
  withoutDefault,
  type Settled,
} from '../option.ts';
import { optimizerSynonyms, scheduleSynonyms } from '../synonyms.ts';
import {
  choice,
  decimal,
  flag,
  integer,
  integers,
  listOf,
  stepsOrEpochs,
  type StepsOrEpochs,
} from '../value-types.ts';

const decay = decimal('a number of at least 0 and below 1', (x) => x >= 0 && x < 1);
const rate = decimal(
  `a number above 0, at most ${limits.MAX_LEARNING_RATE}`,
  (x) => x > 0 && x <= limits.MAX_LEARNING_RATE,
);

const isSgd = (settled: Settled) => settled['optimizer'] === 'sgd';
const isAdam = (settled: Settled) => !isSgd(settled);
const isCosine = (settled: Settled) => settled['lrSchedule'] === 'cosine';
const isFalling = ({ lrSchedule }: Settled) =>
  lrSchedule === 'step' || lrSchedule === 'exponential';

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
  optimizer: withDefault(choice(optimizerKinds, optimizerSynonyms), 'adam', {
    in: trainingCommands,
    help: 'how a step changes the weights',
  }),
  learningRate: {
    ...described({ in: trainingCommands, help: 'learning rate, before --lr-schedule changes it' }),
    type: rate,
    defaultText: '0.001, with --optimizer sgd 0.01',
    defaultValue: (settled: Settled): number => (isSgd(settled) ? 0.01 : 0.001),
  },
  beta1: withDefaultIf(isAdam, decay, 0.9, {
    in: trainingCommands,
    help: "decay rate of Adam's first moment",
  }),
  beta2: withDefaultIf(isAdam, decay, 0.999, {
    in: trainingCommands,
    help: "decay rate of Adam's second moment",
  }),
  epsilon: withDefaultIf(
    isAdam,
    decimal(
      'a number of at least 2^-126, which is about 1.2e-38, and at most 1',
      (x) => Math.fround(x) >= limits.MIN_EPSILON && x <= 1,
    ),
    1e-7,
    { in: trainingCommands, help: "Adam's epsilon" },
  ),
  momentum: withDefaultIf(isSgd, decay, 0, {
    in: trainingCommands,
    help: 'momentum of --optimizer sgd',
  }),
  nesterov: withDefault(flag, false, {
    in: trainingCommands,
    help: "use Nesterov's momentum (needs --momentum)",
  }),
  weightDecay: {
    ...described({
      in: trainingCommands,
      help: "decoupled weight decay of adamw or sgd, for kernels; times the step's learning rate",
    }),
    type: decimal(
      `a number from 0 to ${limits.MAX_WEIGHT_DECAY}`,
      (x) => x >= 0 && x <= limits.MAX_WEIGHT_DECAY,
    ),
    defaultText: '0.004, with --optimizer adam or sgd 0',
    defaultValue: (settled: Settled): number => (settled['optimizer'] === 'adamw' ? 0.004 : 0),
  },
  clipNorm: withoutDefault(
    decimal('a number above 0, at most 1e6', (x) => x > 0 && x <= 1e6),
    {
      in: trainingCommands,
      help: 'scales a larger gradient down to this norm (default: does not)',
    },
  ),
  augment: withDefault(augmentType, NO_AUGMENT, {
    in: trainingCommands,
    help: 'moves each training image at random: pixels, degrees, fraction of its size',
  }),
  labelSmoothing: withDefault(decay, 0, {
    in: trainingCommands,
    help: 'part of the target that the training loss shares out among all classes',
  }),
  lrSchedule: withDefault(choice(scheduleKinds, scheduleSynonyms), 'constant', {
    in: trainingCommands,
    help: 'how the learning rate changes after the warmup',
  }),
  warmup: withDefault(
    stepsOrEpochs(0),
    { steps: 0 },
    {
      in: trainingCommands,
      help: 'the learning rate rises linearly during these first steps or epochs',
    },
  ),
  lrDecay: withDefaultIf(
    isFalling,
    decimal('a number above 0, at most 1', (x) => x > 0 && x <= 1),
    0.7,
    {
      in: trainingCommands,
      help: 'step and exponential: factor of the learning rate',
    },
  ),
  lrDecayEvery: withDefaultIf(
    isFalling,
    stepsOrEpochs(1),
    { epochs: 1 },
    { in: trainingCommands, help: 'step and exponential: steps or epochs per --lr-decay' },
  ),
  lrHorizon: {
    ...described({
      in: trainingCommands,
      help: 'cosine: steps or epochs until the rate is final, even if the run becomes longer',
    }),
    type: stepsOrEpochs(1),
    defaultText: "the run's length when it is created",
    defaultValue: (): StepsOrEpochs | undefined => undefined,
  },
  lrFinal: withDefaultIf(
    isCosine,
    decimal('a number from 0 to 1', (x) => x >= 0 && x <= 1),
    0,
    { in: trainingCommands, help: 'cosine: final rate, as a fraction of --learning-rate' },
  ),
  lrBoundaries: withoutDefault(
    listOf(
      stepsOrEpochs(1),
      limits.MAX_RATE_CHANGES,
      'N|Nepochs,...',
      'increasing numbers of steps or epochs, such as 500 or 2epochs',
    ),
    { in: trainingCommands, help: 'piecewise: after how many steps or epochs the rate changes' },
  ),
  lrRates: withoutDefault(
    listOf(
      rate,
      limits.MAX_RATE_CHANGES,
      'X,X,...',
      `numbers above 0, at most ${limits.MAX_LEARNING_RATE}`,
    ),
    { in: trainingCommands, help: 'piecewise: the learning rate after each of --lr-boundaries' },
  ),
  validationSplit: withoutDefault(
    decimal('a number above 0, below 1', (x) => x > 0 && x < 1),
    {
      in: trainingCommands,
      help:
        'fraction at the end of the training files that is held out and evaluated after each ' +
        'epoch (default: none; the test set is evaluated)',
    },
  ),
  earlyStopping: withoutDefault(integer({ min: 0, max: limits.MAX_EPOCHS }), {
    in: trainingCommands,
    help: 'end the run after this many evaluations without a lower loss (default: does not)',
  }),
  keepBest: withDefault(flag, false, {
    in: trainingCommands,
    help: 'the model is that of the epoch with the lowest loss (needs --validation-split)',
  }),
  minDelta: withDefaultIf(
    ({ earlyStopping, keepBest }: Settled) => earlyStopping !== undefined || keepBest === true,
    decimal('a number of at least 0', (x) => x >= 0),
    0,
    { in: trainingCommands, help: '--early-stopping, --keep-best: how much lower a loss must be' },
  ),
  hidden: withDefault(integers({ min: 1, max: MAX_LAYER_UNITS }, MAX_HIDDEN_LAYERS), [128], {
    in: ['local', 'coordinator', 'model'],
    help: 'units in each hidden layer of --model mlp, such as 128 or 256,128',
  }),
  dropout: withDefault(decay, 0.2, {
    in: ['local', 'coordinator', 'model'],
    help: 'fraction of the hidden units of --model mlp that a training step drops',
  }),
};
