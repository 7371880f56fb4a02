import { z } from 'zod';
import { engineIdentity } from '../engine-identity.ts';
import { ClusterError, errorCodes } from '../errors.ts';
import { gpuReading } from '../gpu-reading.ts';
import { evaluatedSets } from '../evaluation/evaluated-set.ts';
import * as limits from '../limits.ts';
import { memoryAddress } from './shared-memory.ts';
import { count, fence, located, run, term, timed } from './message-fields.ts';
import { issuesOf, foreignText as text } from '../schema.ts';
import { taskKinds } from './task-order.ts';

/**
 * The protocol between a worker and the coordinator. Every message is one frame (frame.ts): its
 * header is one of the records below, its body is raw float32. A receiver drops a message whose
 * `run`, `term` or `step` is not the current one. PROTOCOL is the version; it increases when a
 * record changes.
 */
export { PROTOCOL } from './protocol.ts';

const slot = count(limits.MAX_CONNECTIONS);
const session = z.string().regex(/^[0-9a-f]{32}$/);
const part = count(limits.MAX_STEPS);
const set = z.enum(evaluatedSets);
const farewell = { code: z.enum(errorCodes), message: text(limits.MAX_TEXT_CHARACTERS) };

export const workerMessage = z.discriminatedUnion('kind', [
  /** Opens a session: versions, name, any earlier session's secret, and after `next` its run. */
  z.strictObject({
    kind: z.literal('hello'),
    protocol: count(65_535),
    arithmetic: count(65_535),
    version: text(32),
    name: text(limits.MAX_NAME_CHARACTERS),
    session: session.optional(),
    run: run.optional(),
  }),
  /** The worker is loading data and building graphs. It needs at most `limitMilliseconds`. */
  z.strictObject({
    kind: z.literal('preparing'),
    limitMilliseconds: count(limits.MAX_PREPARE_LIMIT_MILLISECONDS),
  }),
  /** The worker is ready. Its fingerprint covers what it computes for the run's first batch. */
  z.strictObject({
    kind: z.literal('ready'),
    fingerprint: z.string().regex(/^[0-9a-f]{64}$/),
    engine: engineIdentity,
    /** The worker's shared memory, if it runs on the coordinator's host. */
    memory: memoryAddress.optional(),
    /** Whether the worker can read the coordinator's channel. */
    channel: z.boolean().optional(),
  }),
  /**
   * The sum over one subtree (`part`) of a step, and how many of its rows were classified
   * correctly. Body: P gradients, then the loss.
   */
  z.strictObject({
    kind: z.literal('gradient'),
    ...located,
    part,
    correct: count(limits.MAX_BATCH_SIZE),
    ...timed,
  }),
  /** Predictions for a chunk of a set. Body: rows of class, loss, probabilities. */
  z.strictObject({ kind: z.literal('predictions'), ...fence, set, part, ...timed }),
  /** Readings of the worker's GPUs. */
  z.strictObject({
    kind: z.literal('devices'),
    gpus: z.array(gpuReading).max(limits.MAX_GPUS).readonly(),
  }),
  /** The worker is idle and alive. */
  z.strictObject({ kind: z.literal('heartbeat') }),
  /** The worker is leaving, for the given reason. */
  z.strictObject({ kind: z.literal('bye'), ...farewell }),
]);

export const coordinatorMessage = z.discriminatedUnion('kind', [
  /** The worker is admitted: its slot, and the secret that reclaims the slot after a reconnect. */
  z.strictObject({ kind: z.literal('welcome'), run, term, slot, session }),
  /**
   * A step: its weights, and the subtrees that each slot computes, as [slot, part, ...]. Body: P
   * weights.
   */
  z.strictObject({
    kind: z.literal('step'),
    ...located,
    assignment: z.array(z.array(part).min(2)).max(256),
  }),
  /**
   * An evaluation of a set after a step: the weights, and the chunks that each slot predicts, as
   * [slot, first, count]. Body: P weights.
   */
  z.strictObject({
    kind: z.literal('evaluate'),
    ...located,
    set,
    assignment: z.array(z.tuple([slot, part, count(limits.MAX_EVALUATION_CHUNKS)])).max(256),
  }),
  /** More parts of the step or evaluation whose weights the worker already has. */
  z.strictObject({
    kind: z.literal('lease'),
    ...fence,
    task: z.enum(taskKinds),
    parts: z.array(part).max(limits.MAX_LEASED_PARTS),
  }),
  /** From now on, both sides use their channels; the worker reads from frame `next` on. */
  z.strictObject({ kind: z.literal('channel'), next: count(2 ** 32 - 1) }),
  /** The run is over and this one follows on the connection: request it and say hello again. */
  z.strictObject({ kind: z.literal('next'), run, term }),
  /** The coordinator is alive. */
  z.strictObject({ kind: z.literal('heartbeat') }),
  /** The coordinator is closing the connection, for the given reason. */
  z.strictObject({ kind: z.literal('bye'), ...farewell }),
]);

export type WorkerMessage = z.infer<typeof workerMessage>;
export type CoordinatorMessage = z.infer<typeof coordinatorMessage>;
/** The messages that carry a worker's results. */
export type ResultMessage = Extract<WorkerMessage, { kind: 'gradient' | 'predictions' }>;

/** The only place that turns untrusted data into messages. Throws PROTOCOL if it is invalid. */
export function parseMessage<T>(schema: z.ZodType<T>, header: unknown): T {
  const parsed = schema.safeParse(header);
  if (parsed.success) return parsed.data;
  throw new ClusterError(
    'PROTOCOL',
    `the peer sent a message that violates the protocol: ${issuesOf(parsed.error)}`,
  );
}
