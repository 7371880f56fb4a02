import { z } from 'zod';
import { engineIdentity } from '../engine-identity.ts';
import { ClusterError, errorCodes, issuesOf } from '../errors.ts';
import { gpuReading } from '../gpu-reading.ts';
import * as limits from '../limits.ts';
import { foreignText as text } from '../printable.ts';
import { memoryAddress, memoryRoom } from './shared-memory.ts';

/**
 * The contract of the wire. Every message is one frame (frame.ts); its header is one of the records
 * below, its body float32. A receiver fences by `run`, `term` and `step`: what belongs to another
 * one is dropped.
 */
export const PROTOCOL = 3;

const count = (max: number) => z.int().min(0).max(max);
const run = z.string().max(limits.MAX_NAME_CHARACTERS);
const term = count(limits.MAX_STEPS);
const step = count(limits.MAX_STEPS);
const slot = count(limits.MAX_CONNECTIONS);
const session = z.string().regex(/^[0-9a-f]{32}$/);
const part = count(limits.MAX_STEPS);
const microseconds = count(Number.MAX_SAFE_INTEGER);
const fence = { run, term, step };
/** Of messages whose body may lie in the sender's shared memory: then it is in this room. */
const located = { ...fence, room: memoryRoom.optional() };
const farewell = { code: z.enum(errorCodes), message: text(limits.MAX_TEXT_CHARACTERS) };

export const workerMessage = z.discriminatedUnion('kind', [
  /** "I speak these versions, this is my name; if I held a slot before, this secret proves it." */
  z.strictObject({
    kind: z.literal('hello'),
    protocol: count(65_535),
    arithmetic: count(65_535),
    version: text(32),
    name: text(limits.MAX_NAME_CHARACTERS),
    session: session.optional(),
  }),
  /** "I load data and build graphs; do not expect me before this limit has passed." */
  z.strictObject({
    kind: z.literal('preparing'),
    limitMilliseconds: count(limits.MAX_PREPARE_LIMIT_MILLISECONDS),
  }),
  /**
   * "All graphs are built; on the run's first batch my engine computes bytes with this
   * fingerprint."
   */
  z.strictObject({
    kind: z.literal('ready'),
    fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
    engine: engineIdentity,
    /** On the coordinator's host: where my shared memory is. */
    memory: memoryAddress.optional(),
  }),
  /**
   * "Here is the sum over this subtree of this step; so many rows were right." Body: P gradients
   * and the loss.
   */
  z.strictObject({
    kind: z.literal('gradient'),
    ...located,
    part,
    correct: count(limits.MAX_BATCH_SIZE),
    microseconds,
  }),
  /**
   * "Here are class, loss and probabilities of every row of this chunk." Body: rows x (2 +
   * classes).
   */
  z.strictObject({ kind: z.literal('predictions'), ...fence, part, microseconds }),
  /** "This is how my GPUs are doing." */
  z.strictObject({
    kind: z.literal('devices'),
    gpus: z.array(gpuReading).max(limits.MAX_GPUS).readonly(),
  }),
  /** "I am alive and have nothing to do." */
  z.strictObject({ kind: z.literal('heartbeat') }),
  /** "I leave, for this reason." */
  z.strictObject({ kind: z.literal('bye'), ...farewell }),
]);

export const coordinatorMessage = z.discriminatedUnion('kind', [
  /** "You are in: this is your slot, and the secret with which you may take it again." */
  z.strictObject({ kind: z.literal('welcome'), run, term, slot, session }),
  /** "These are the weights of this step; each slot computes these subtrees." Body: P weights. */
  z.strictObject({
    kind: z.literal('step'),
    ...located,
    assignment: z.array(z.array(part).min(2)).max(256),
  }),
  /**
   * "These are the weights after this step; each slot predicts these chunks: [slot, first, count]."
   * Body: P weights.
   */
  z.strictObject({
    kind: z.literal('evaluate'),
    ...located,
    assignment: z.array(z.tuple([slot, part, count(limits.MAX_EVALUATION_CHUNKS)])).max(256),
  }),
  /** "Compute these parts too, of the step or evaluation whose weights you have." */
  z.strictObject({
    kind: z.literal('lease'),
    ...fence,
    parts: z.array(part).max(limits.MAX_LEASED_PARTS),
  }),
  /** "I am alive." */
  z.strictObject({ kind: z.literal('heartbeat') }),
  /** "I close this connection, for this reason." */
  z.strictObject({ kind: z.literal('bye'), ...farewell }),
]);

export type WorkerMessage = z.infer<typeof workerMessage>;
export type CoordinatorMessage = z.infer<typeof coordinatorMessage>;
/** Messages that carry what a worker computed. */
export type ResultMessage = Extract<WorkerMessage, { kind: 'gradient' | 'predictions' }>;

/** Bytes become a typed message here and nowhere else. */
export function parseMessage<T>(schema: z.ZodType<T>, header: unknown): T {
  const parsed = schema.safeParse(header);
  if (parsed.success) return parsed.data;
  throw new ClusterError(
    'PROTOCOL',
    `the peer sent a message that breaks the contract: ${issuesOf(parsed.error)}`,
  );
}
