import { add, addZero, check } from '../../shared/kernels/reference-kernels.ts';
import { referenceUpdate } from '../../shared/kernels/reference-update.ts';
import type { UpdateRecipe } from '../../shared/kernels/update.ts';
import type { Schedule } from '../../shared/arithmetic/learning-rate.ts';
import { stateNames, type Optimizer } from '../../shared/arithmetic/optimizer.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { samplesIn, type EvaluatedSet } from '../../shared/evaluation/evaluated-set.ts';
import {
  hasStoppedEarly,
  judge,
  judgingSet,
  type Judgement,
} from '../../shared/evaluation/judgement.ts';
import { score, type Score } from '../../shared/evaluation/score.ts';
import { EVALUATION_CHUNK_ROWS } from '../../shared/limits/model.ts';
import { denseModel, parameterCount } from '../../shared/arithmetic/model-shape.ts';
import { initialWeights } from '../../shared/arithmetic/random.ts';
import { planStep, totalSteps } from '../../shared/arithmetic/schedule.ts';
import { weightsDigest } from '../../shared/files/init-file.ts';
import { Random } from '../fixtures/seeded-random.ts';
import { hasReal, isReal, ROOT, type Node } from '../../shared/arithmetic/tree.ts';

/** A subtree's sum: P gradients and the loss, plus the number of correct rows. */
export interface PartialSum {
  readonly values: Float32Array;
  readonly correct: number;
}

/** The expected result of a step. */
export interface ExpectedStep {
  readonly loss: number;
  readonly correct: number;
  readonly checksum: bigint;
  /** The step's evaluation, if it counts for early stopping. */
  readonly judged: Score | undefined;
}

type Update = Omit<UpdateRecipe, 'model'> &
  Pick<Configuration, 'augment' | 'labelSmoothing' | 'init'>;

const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
const plainUpdate: Update = {
  optimizer: { kind: 'adam', ...adam },
  learningRate: 0.001,
  schedule: { kind: 'constant' },
  warmup: 0,
  weightDecay: 0,
};

const model = denseModel([1, 4], [3], 0, 2);
/** The weights that some runs begin with. */
const givenWeights = Float32Array.from({ length: parameterCount(model) }, (_, i) => Math.sin(i));

/** The given weights that the run begins with; undefined if its seed draws them. */
export function givenInit({ init }: Configuration): Float32Array | undefined {
  return init === undefined ? undefined : givenWeights;
}

/**
 * An update that the seed alone determines: the default one, or any optimizer with any schedule,
 * decay and clipping, and perhaps an augmentation, which the fake engine ignores. The choice has
 * random numbers of its own, so that the faults of a seed do not depend on it.
 */
function simulatedUpdate(seed: number): Update {
  const random = new Random(seed ^ 0x5eed);
  if (random.chance(0.3)) return plainUpdate;
  const optimizer = random.pick<Optimizer>([
    { kind: 'adam', ...adam },
    { kind: 'adamw', ...adam },
    { kind: 'sgd', momentum: 0, nesterov: false },
    { kind: 'sgd', momentum: 0.9, nesterov: false },
    { kind: 'sgd', momentum: 0.9, nesterov: true },
  ]);
  const schedule = random.pick<Schedule>([
    { kind: 'constant' },
    { kind: 'step', decay: 0.5, every: 4 },
    { kind: 'exponential', decay: 0.7, every: 3 },
    { kind: 'cosine', final: 0.1, horizon: 15 },
    { kind: 'piecewise', boundaries: [3, 11], rates: [0.01, 0.0005] },
  ]);
  return {
    optimizer,
    learningRate: random.pick([0.001, 0.1]),
    schedule,
    warmup: random.pick([0, 5]),
    weightDecay: optimizer.kind === 'adam' ? 0 : random.pick([0, 0.1]),
    ...(random.chance(0.5) ? { clipNorm: random.pick([0.01, 1.5, 100]) } : {}),
    ...(random.chance(0.3) ? { augment: { shift: 1, rotate: 0, zoom: 0.25 } } : {}),
    // The fake engine has no loss to smooth, but the setting is a part of the recipe.
    ...(random.chance(0.3) ? { labelSmoothing: 0.1 } : {}),
    ...(random.chance(0.3) ? { init: weightsDigest(givenWeights) } : {}),
  };
}

/** A validation set and early stopping in some of the runs, drawn apart from everything else. */
function simulatedSplit(
  seed: number | undefined,
): Pick<Configuration, 'validationSamples' | 'earlyStopping' | 'keepBest' | 'minDelta'> {
  if (seed === undefined) return {};
  const random = new Random(seed ^ 0x5b117);
  const [hasSplit, isPatient] = [random.chance(0.5), random.chance(0.4)];
  const keepsBest = hasSplit && random.chance(0.6);
  return {
    ...(hasSplit ? { validationSamples: 700 } : {}),
    ...(isPatient ? { earlyStopping: random.below(4) } : {}),
    ...(keepsBest ? { keepBest: true } : {}),
    ...(isPatient || keepsBest ? { minDelta: 0.001 } : {}),
  };
}

/**
 * A model with 23 parameters. An epoch has four steps; the batch of the last one is short. The seed
 * of a simulation chooses the update; without it, the update is the default one.
 */
export function simulatedConfiguration(
  virtualShards: number,
  seed: number,
  epochs = 6,
  simulationSeed?: number,
): Configuration {
  return {
    dataset: '0'.repeat(64),
    ...simulatedSplit(simulationSeed),
    trainSamples: 100,
    testSamples: 1200,
    batchSize: 32,
    model,
    virtualShards,
    seed,
    epochs,
    ...(simulationSeed === undefined ? plainUpdate : simulatedUpdate(simulationSeed)),
  };
}

/**
 * A fake engine. A shard's result depends only on the weights, the step and the shard; some values
 * are subnormal.
 */
export function sumOf(
  configuration: Configuration,
  weights: Float32Array,
  step: number,
  node: Node,
): PartialSum {
  const { virtualShards } = configuration;
  const { realShards } = planStep(configuration, step);
  if (node >= virtualShards) return shardOf(weights, step, node - virtualShards);
  const left = sumOf(configuration, weights, step, 2 * node);
  if (!hasReal(2 * node + 1, virtualShards, realShards)) {
    addZero(left.values);
    return left;
  }
  const right = sumOf(configuration, weights, step, 2 * node + 1);
  add(left.values, right.values);
  return { values: left.values, correct: left.correct + right.correct };
}

/** Whether a worker may be asked for the node: only for a subtree without padding. */
export function isAskable(
  { virtualShards, ...rest }: Configuration,
  step: number,
  node: Node,
): boolean {
  return isReal(node, virtualShards, planStep({ virtualShards, ...rest }, step).realShards);
}

function shardOf(weights: Float32Array, step: number, shard: number): PartialSum {
  const values = new Float32Array(weights.length + 1);
  for (let i = 0; i <= weights.length; i++) {
    const noise = hash(step, shard, i) / 2 ** 32 - 0.5;
    // Differences between such values are occasionally below 2^-126.
    values[i] = i % 5 === 4 ? noise * 4e-38 : noise + 0.01 * (weights[i] ?? 0);
  }
  values[weights.length] = hash(step, shard, -1) / 2 ** 36;
  return { values, correct: hash(step, shard, -2) % 2 };
}

/** Class, loss and probabilities of every row in a set's chunk. */
export function predictionsOf(
  configuration: Configuration,
  weights: Float32Array,
  set: EvaluatedSet,
  chunk: number,
): Float32Array {
  const { classes } = configuration.model;
  const width = 2 + classes;
  const values = new Float32Array(EVALUATION_CHUNK_ROWS * width);
  for (let row = 0; row < EVALUATION_CHUNK_ROWS; row++) {
    const noise =
      hash(chunk, row, set === 'test' ? 0 : 1) +
      Math.round((weights[row % weights.length] ?? 0) * 2 ** 20);
    values[row * width] = Math.abs(noise) % classes;
    values[row * width + 1] = Math.abs(noise % 1000) / 1000;
    for (let j = 0; j < classes; j++) values[row * width + 2 + j] = 1 / classes;
  }
  return values;
}

/** Weights and their step. */
export interface Trained {
  readonly step: number;
  readonly weights: Float32Array;
}

/** The rows of a set with their classes; both sets of a simulated dataset have the same classes. */
export function simulatedLabel(row: number): number {
  return ((row * 7) >> 2) & 1;
}

/** The result of an undisturbed evaluation of a set. */
function evaluationOf(
  configuration: Configuration,
  weights: Float32Array,
  set: EvaluatedSet,
): Score {
  const { trainSamples, model } = configuration;
  const samples = samplesIn(set, configuration);
  const chunks = Array.from({ length: Math.ceil(samples / EVALUATION_CHUNK_ROWS) }, (_, chunk) => [
    ...predictionsOf(configuration, weights, set, chunk),
  ]);
  const values = Float32Array.from(chunks.flat()).subarray(0, samples * (2 + model.classes));
  const first = set === 'test' ? 0 : trainSamples;
  const labels = Uint8Array.from({ length: samples }, (_, i) => simulatedLabel(first + i));
  return score({ values, labels, classes: model.classes });
}

/**
 * All steps of an undisturbed run, computed by the reference kernels in one process. With early
 * stopping, some steps have an evaluation that counts.
 */
export function undisturbed(configuration: Configuration): {
  steps: ExpectedStep[];
  /** The weights of the model: the last ones or, with `keepBest`, the best ones. */
  model: Trained;
} {
  const set = judgingSet(configuration);
  let judgement: Judgement | undefined;
  let best: Trained | undefined;
  const count = parameterCount(configuration.model);
  const drawn = initialWeights(configuration.seed, configuration.model);
  const weights = givenInit(configuration)?.slice() ?? drawn;
  const state = stateNames(configuration.optimizer).map(() => new Float32Array(count));
  const steps: ExpectedStep[] = [];
  for (let step = 1; step <= totalSteps(configuration); step++) {
    const { values, correct } = sumOf(configuration, weights, step, ROOT);
    referenceUpdate(configuration, step, weights, values.subarray(0, count), state);
    const { endsEpoch } = planStep(configuration, step);
    const judged =
      set !== undefined && endsEpoch ? evaluationOf(configuration, weights, set) : undefined;
    const { checksum } = check(weights);
    steps.push({ loss: values[count] ?? NaN, correct, checksum, judged });
    if (judged === undefined) continue;
    judgement = judge(judgement, { step, loss: judged.loss, link: '' }, configuration);
    if (configuration.keepBest === true && judgement.best.step === step)
      best = { step, weights: weights.slice() };
    if (hasStoppedEarly(judgement, configuration)) break;
  }
  return { steps, model: best ?? { step: steps.length, weights } };
}

function hash(a: number, b: number, c: number): number {
  let h =
    Math.imul(a + 1, 0x9e3779b1) ^ Math.imul(b + 7, 0x85ebca77) ^ Math.imul(c + 13, 0xc2b2ae3d);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}
