import { isAugmenting, NO_AUGMENT } from '../../shared/arithmetic/augment.ts';
import type { Schedule } from '../../shared/arithmetic/learning-rate.ts';
import type { Optimizer } from '../../shared/arithmetic/optimizer.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { assert, ClusterError } from '../../shared/errors.ts';
import { MAX_STEPS } from '../../shared/limits.ts';
import type { CoordinatorOptions } from '../options/options.ts';
import { stepsOrEpochs, type StepsOrEpochs } from '../options/value-types.ts';

type OptimizerOptions = Pick<
  CoordinatorOptions,
  'optimizer' | 'beta1' | 'beta2' | 'epsilon' | 'momentum' | 'nesterov'
>;
type ScheduleOptions = Pick<
  CoordinatorOptions,
  | 'lrSchedule'
  | 'warmup'
  | 'lrDecay'
  | 'lrDecayEvery'
  | 'lrHorizon'
  | 'lrFinal'
  | 'lrBoundaries'
  | 'lrRates'
>;
type RecipeOptions = OptimizerOptions &
  ScheduleOptions &
  Pick<
    CoordinatorOptions,
    'learningRate' | 'weightDecay' | 'clipNorm' | 'augment' | 'labelSmoothing'
  >;

/** A run's length when it is created. */
interface Length {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
}

/**
 * The options of the loss, the update and the augmentation, as a run's configuration contains them.
 * Throws USAGE.
 */
export function updateOf(
  options: RecipeOptions,
  length: Length,
): Pick<
  Configuration,
  | 'optimizer'
  | 'learningRate'
  | 'schedule'
  | 'warmup'
  | 'weightDecay'
  | 'clipNorm'
  | 'augment'
  | 'labelSmoothing'
> {
  const { learningRate, weightDecay, clipNorm, augment, labelSmoothing } = options;
  return {
    optimizer: optimizerOf(options),
    learningRate,
    ...scheduleOf(options, length),
    weightDecay,
    ...(clipNorm === undefined ? {} : { clipNorm }),
    ...(isAugmenting(augment) ? { augment } : {}),
    ...(labelSmoothing === 0 ? {} : { labelSmoothing }),
  };
}

export function optimizerOf(options: OptimizerOptions): Optimizer {
  const { optimizer: kind, beta1, beta2, epsilon, momentum, nesterov } = options;
  if (kind === 'sgd') return { kind, momentum: momentum ?? 0, nesterov };
  assert(beta1 !== undefined && beta2 !== undefined && epsilon !== undefined, 'Adam has defaults');
  return { kind, beta1, beta2, epsilon };
}

function scheduleOf(
  options: ScheduleOptions,
  { stepsPerEpoch, totalSteps }: Length,
): Pick<Configuration, 'schedule' | 'warmup'> {
  const { lrHorizon, lrBoundaries = [] } = options;
  const warmup = inSteps('--warmup', options.warmup, stepsPerEpoch);
  const horizon = inSteps('--lr-horizon', lrHorizon ?? { steps: totalSteps }, stepsPerEpoch);
  const boundaries = lrBoundaries.map((at) => inSteps('--lr-boundaries', at, stepsPerEpoch));
  if (options.lrSchedule === 'cosine' && warmup >= horizon) {
    throw new ClusterError(
      'USAGE',
      `the warmup of ${warmup} steps (--warmup) does not end before the learning rate is final, ` +
        `after ${horizon} steps (--lr-horizon)`,
      { fix: `allowed: --warmup from 0 to ${horizon - 1}, or a larger --lr-horizon` },
    );
  }
  if (boundaries.some((at, i) => at <= (boundaries[i - 1] ?? 0))) {
    throw new ClusterError(
      'USAGE',
      `the boundaries of the learning rate do not increase: ${boundaries.join(', ')} steps ` +
        '(--lr-boundaries)',
      { fix: `an epoch has ${stepsPerEpoch} steps; put the boundaries in increasing order` },
    );
  }
  return { warmup, schedule: kindOfSchedule(options, { stepsPerEpoch, horizon, boundaries }) };
}

interface Counts {
  readonly stepsPerEpoch: number;
  readonly horizon: number;
  readonly boundaries: number[];
}

function kindOfSchedule(
  options: ScheduleOptions,
  { stepsPerEpoch, horizon, boundaries }: Counts,
): Schedule {
  const { lrSchedule: kind, lrDecay, lrDecayEvery, lrFinal, lrRates = [] } = options;
  switch (kind) {
    case 'constant':
      return { kind };
    case 'step':
    case 'exponential':
      assert(lrDecay !== undefined && lrDecayEvery !== undefined, 'a falling rate has defaults');
      return {
        kind,
        decay: lrDecay,
        every: inSteps('--lr-decay-every', lrDecayEvery, stepsPerEpoch),
      };
    case 'cosine':
      return { kind, final: lrFinal ?? 0, horizon };
    case 'piecewise':
      return { kind, boundaries, rates: [...lrRates] };
  }
}

/** The number of steps; a positive number of epochs has at least one. Throws USAGE. */
function inSteps(flag: string, value: StepsOrEpochs, stepsPerEpoch: number): number {
  if ('steps' in value && value.steps <= MAX_STEPS) return value.steps;
  const exact = 'steps' in value ? value.steps : value.epochs * stepsPerEpoch;
  const steps = Math.max(1, Math.round(exact));
  if (steps <= MAX_STEPS) return steps;
  const text = stepsOrEpochs(0).format(value);
  throw new ClusterError('USAGE', `${flag} ${text} is ${steps} steps`, {
    fix: `allowed: at most ${MAX_STEPS} steps; an epoch has ${stepsPerEpoch}`,
  });
}

/** The options with all numbers of epochs as numbers of steps, to compare them with a run. */
export function withSteps<O extends ScheduleOptions>(options: O, stepsPerEpoch: number): O {
  const convert = (flag: string, value: StepsOrEpochs | undefined) =>
    value && { steps: inSteps(flag, value, stepsPerEpoch) };
  return {
    ...options,
    warmup: convert('--warmup', options.warmup),
    lrDecayEvery: convert('--lr-decay-every', options.lrDecayEvery),
    lrHorizon: convert('--lr-horizon', options.lrHorizon),
    lrBoundaries: options.lrBoundaries?.map((at) => convert('--lr-boundaries', at)),
  };
}

/** The options that give a recorded run's update. The horizon is the recorded one. */
export function updateOptions(recorded: Configuration): RecipeOptions {
  const { optimizer, schedule, learningRate, weightDecay, clipNorm, warmup } = recorded;
  const { augment = NO_AUGMENT, labelSmoothing = 0 } = recorded;
  const isSgd = optimizer.kind === 'sgd';
  const falling = 'decay' in schedule ? schedule : undefined;
  const cosine = schedule.kind === 'cosine' ? schedule : undefined;
  const pieces = schedule.kind === 'piecewise' ? schedule : undefined;
  return {
    optimizer: optimizer.kind,
    learningRate,
    beta1: isSgd ? undefined : optimizer.beta1,
    beta2: isSgd ? undefined : optimizer.beta2,
    epsilon: isSgd ? undefined : optimizer.epsilon,
    momentum: isSgd ? optimizer.momentum : undefined,
    nesterov: isSgd && optimizer.nesterov,
    weightDecay,
    clipNorm,
    augment,
    labelSmoothing,
    lrSchedule: schedule.kind,
    warmup: { steps: warmup },
    lrDecay: falling?.decay,
    lrDecayEvery: falling && { steps: falling.every },
    lrHorizon: cosine && { steps: cosine.horizon },
    lrFinal: cosine?.final,
    lrBoundaries: pieces?.boundaries.map((steps) => ({ steps })),
    lrRates: pieces?.rates,
  };
}
