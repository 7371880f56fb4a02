import { z } from 'zod';
import { errorCodes } from '../../shared/errors.ts';

/**
 * The messages between a supervisor (`local`, or a program with the library) and its children, over
 * the IPC channel.
 */
export const toChild = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('stop'), code: z.enum(errorCodes) }),
  /** To a coordinator: at most `workers` workers will join before the first step. */
  z.strictObject({ kind: z.literal('expect'), workers: z.int() }),
]);
export const fromChild = z.discriminatedUnion('kind', [
  /** The process is ready: a coordinator is listening, or a worker has its engine. */
  z.strictObject({ kind: z.literal('ready') }),
  /** Training has begun. */
  z.strictObject({ kind: z.literal('started') }),
  /** The port of the live page. */
  z.strictObject({ kind: z.literal('page'), port: z.int() }),
  /** From `local`: the run's directory, which may not exist yet. */
  z.strictObject({ kind: z.literal('run'), directory: z.string() }),
]);
export type ToChild = z.infer<typeof toChild>;
export type FromChild = z.infer<typeof fromChild>;
