import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalRecipe, type Configuration } from '../configuration.ts';
import { assert, ClusterError, messageOf } from '../errors.ts';
import type { EvaluatedSteps } from '../evaluation/evaluated-set.ts';
import type { Judgement } from '../evaluation/judgement.ts';
import { MAX_NAME_CHARACTERS, MAX_STEPS, MAX_WORKERS } from '../limits.ts';
import type { LinePosition } from './metrics.ts';
import { parameterCount } from '../arithmetic/model-shape.ts';
import { stateNames } from '../arithmetic/optimizer.ts';
import { parameterTensors } from './parameter-tensors.ts';
import { decodeTensors, encodeTensors, tensorsLike, type Tensor } from './safetensors.ts';
import { ARITHMETIC } from '../arithmetic/version.ts';
import { issuesOf } from '../schema.ts';

/**
 * Everything that a run needs to resume: the weights after a step, the optimizer's state, and the
 * run's progress.
 */
export interface Checkpoint {
  readonly configuration: Configuration;
  readonly step: number;
  readonly evaluated: EvaluatedSteps;
  /** With early stopping, after the first evaluation that counts; otherwise undefined. */
  readonly judgement?: Judgement | undefined;
  /** The link of `step` (chain.ts). */
  readonly chain: string;
  /** The fingerprint of the engines that computed the checkpoint. */
  readonly fingerprint: string;
  /**
   * How many samples each worker computed; undefined in a checkpoint from an older version. This
   * does not affect the bytes of later steps.
   */
  readonly shares?: Shares | undefined;
  /**
   * Where the lines up to this step end in metrics.jsonl; undefined in a checkpoint from an older
   * version. This does not affect the bytes of later steps, and differs between equal runs because
   * lines contain times.
   */
  readonly lines?: LinePosition | undefined;
  /** P floats each, in the layout of shared/arithmetic/model-shape.ts. */
  readonly weights: Float32Array;
  /** The optimizer's vectors, P floats each, in the order of `stateNames`; SGD may have none. */
  readonly state: readonly Float32Array[];
}

/** Number of training samples per worker name, counted over the steps after `from`. */
export interface Shares {
  readonly from: number;
  readonly samples: ReadonlyMap<string, number>;
}

const number = z
  .string()
  .regex(/^\d{1,10}$/)
  .transform(Number)
  .pipe(z.int().max(MAX_STEPS));
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const metadataSchema = z.strictObject({
  arithmetic: z.literal(String(ARITHMETIC)),
  recipe: z.string(),
  step: number,
  /** The last step after which the test set was evaluated. */
  evaluated: number,
  /** The same for the validation set, in a run that has one. */
  validated: number.optional(),
  /**
   * With early stopping: the step of the last evaluation that counted, the step of the best one,
   * the number of evaluations since, the best loss (float64, big-endian, in hexadecimal) and the
   * link of the best evaluation.
   */
  judgement: z
    .string()
    .regex(/^\d{1,10} \d{1,10} \d{1,10} [0-9a-f]{16} [0-9a-f]{64}$/)
    .optional(),
  chain: sha256,
  fingerprint: sha256,
  /**
   * A digest, then JSON: the step after which samples are counted, and each worker's name with its
   * number of samples.
   */
  shares: z.string().optional(),
  /** The size of metrics.jsonl up to this step in bytes, and the digest of its last line. */
  lines: z
    .string()
    .regex(/^\d{1,15} [0-9a-f]{16}$/)
    .optional(),
  /** SHA-256 of all tensors' bytes. */
  tensors: sha256,
});
const sharesSchema = z.tuple([
  z.int().min(0).max(MAX_STEPS),
  z.array(z.tuple([z.string().max(MAX_NAME_CHARACTERS), z.int().min(0)])).max(MAX_WORKERS),
]);

/**
 * Encodes a checkpoint as a safetensors file: the model's tensors, then those of the optimizer's
 * state, such as adam.m.* and adam.v.*. Equal inputs produce equal bytes.
 */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  const { configuration, step, evaluated, chain, fingerprint, lines } = checkpoint;
  const vectors = [checkpoint.weights, ...checkpoint.state];
  const prefixes = prefixesOf(configuration);
  assert(vectors.length === prefixes.length, 'the state is that of the optimizer');
  const tensors = vectors.flatMap((vector, i) =>
    parameterTensors(configuration.model, vector, prefixes[i]),
  );
  return encodeTensors({
    metadata: {
      arithmetic: String(ARITHMETIC),
      recipe: canonicalRecipe(configuration),
      step: String(step),
      evaluated: String(evaluated.test),
      ...(configuration.validationSamples === undefined
        ? {}
        : { validated: String(evaluated.validation) }),
      ...encodeJudgement(checkpoint.judgement),
      chain,
      fingerprint,
      ...encodeShares(checkpoint.shares),
      ...(lines === undefined ? {} : { lines: `${lines.bytes} ${lines.digest}` }),
      tensors: digestOf(tensors),
    },
    tensors,
  });
}

function encodeJudgement(judgement: Judgement | undefined): { judgement?: string } {
  if (judgement === undefined) return {};
  const { step, best, waited } = judgement;
  const loss = Buffer.alloc(8);
  loss.writeDoubleBE(best.loss);
  return { judgement: `${step} ${best.step} ${waited} ${loss.toString('hex')} ${best.link}` };
}

function decodeJudgement(text: string | undefined): Judgement | undefined {
  if (text === undefined) return undefined;
  const [step, bestStep, waited, loss = '', link = ''] = text.split(' ');
  return {
    step: Number(step),
    best: { step: Number(bestStep), loss: Buffer.from(loss, 'hex').readDoubleBE(), link },
    waited: Number(waited),
  };
}

/** Omitted if more than MAX_WORKERS workers took part over the life of the run. */
function encodeShares(shares: Shares | undefined): { shares?: string } {
  if (shares === undefined || shares.samples.size > MAX_WORKERS) return {};
  const json = JSON.stringify([shares.from, [...shares.samples]]);
  return { shares: `${digestOfText(json)} ${json}` };
}

function decodeShares(text: string | undefined, file: string): Shares | undefined {
  if (text === undefined) return undefined;
  const [, digest, json = ''] = /^(\S*) (.*)$/s.exec(text) ?? [];
  if (digest !== digestOfText(json))
    throw new ClusterError(
      'DATA',
      `${file} is damaged: its record of the workers does not match its digest`,
    );
  try {
    const [from, samples] = sharesSchema.parse(JSON.parse(json));
    return { from, samples: new Map(samples) };
  } catch (error) {
    throw new ClusterError(
      'DATA',
      `${file} has an invalid record of the workers: ${messageOf(error)}`,
    );
  }
}

/**
 * Decodes a checkpoint. Throws a DATA error that names `file` unless the checkpoint is intact and
 * belongs to a run with this configuration. The lengths of the runs may differ.
 */
export function decodeCheckpoint(
  bytes: Uint8Array,
  file: string,
  configuration: Configuration,
): Checkpoint {
  const decoded = decodeTensors(bytes, file);
  const parsed = metadataSchema.safeParse(decoded.metadata);
  if (!parsed.success)
    throw new ClusterError('DATA', `${file} is not a checkpoint: ${issuesOf(parsed.error)}`);
  if (parsed.data.recipe !== canonicalRecipe(configuration))
    throw new ClusterError(
      'DATA',
      `${file} is a checkpoint of a run with a different configuration`,
    );
  const count = parameterCount(configuration.model);
  const vectors = prefixesOf(configuration).map(() => new Float32Array(count));
  const [weights = new Float32Array(count), ...state] = vectors;
  const expected = prefixesOf(configuration).flatMap((prefix, i) =>
    parameterTensors(configuration.model, vectors[i] ?? weights, prefix),
  );
  const tensors = tensorsLike(expected, decoded);
  if (tensors === undefined)
    throw new ClusterError('DATA', `${file} does not have the tensors of its configuration`);
  if (digestOf(tensors) !== parsed.data.tensors)
    throw new ClusterError('DATA', `${file} is damaged: its tensors do not match their digest`);
  expected.forEach((tensor, i) => tensor.data.set(tensors[i]?.data ?? []));
  const {
    step,
    evaluated: test,
    validated: validation = 0,
    chain,
    fingerprint,
    lines,
  } = parsed.data;
  const shares = decodeShares(parsed.data.shares, file);
  const judgement = decodeJudgement(parsed.data.judgement);
  return {
    configuration,
    step,
    evaluated: { test, validation },
    chain,
    fingerprint,
    lines: positionOf(lines),
    ...(shares === undefined ? {} : { shares }),
    ...(judgement === undefined ? {} : { judgement }),
    weights,
    state,
  };
}

/** The prefixes of the tensors' names: none for the weights, then the optimizer's. */
function prefixesOf({ optimizer }: Configuration): string[] {
  return ['', ...stateNames(optimizer).map((name) => `${name}.`)];
}

function positionOf(text: string | undefined): LinePosition | undefined {
  const [bytes, digest = ''] = text?.split(' ') ?? [];
  return bytes === undefined ? undefined : { bytes: Number(bytes), digest };
}

function digestOfText(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function digestOf(tensors: readonly Tensor[]): string {
  const hash = createHash('sha256');
  for (const { data } of tensors)
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest('hex');
}
