import { z } from 'zod';
import { RUN_ID } from '../files/run-layout.ts';
import { MAX_STEPS } from '../limits.ts';
import { memoryBuffer } from './shared-memory.ts';

/** The fields that say to which run, coordinator and step a message belongs. */
export const count = (max: number) => z.int().min(0).max(max);
export const run = z.string().regex(RUN_ID);
export const term = count(MAX_STEPS);
export const step = count(MAX_STEPS);
export const fence = { run, term, step };
const microseconds = count(Number.MAX_SAFE_INTEGER);
const marks = z
  .strictObject({
    /** The weights of the step or evaluation had arrived. */
    received: microseconds,
    /** It began to compute the part, and had its batch or its chunk. */
    begun: microseconds,
    built: microseconds,
    /** It built the batch before the weights arrived, from the first time to the second. */
    prefetched: z.tuple([microseconds, microseconds]).optional(),
  })
  .readonly();
/** When a worker did what for a result, in microseconds of its own clock. */
export type Marks = z.infer<typeof marks>;
/** How long a result took. Results of steps that the coordinator traces have marks as well. */
export const timed = { microseconds, marks: marks.optional() };
/** For messages whose body may be in the sender's shared memory, where `buffer` locates it. */
export const located = { ...fence, buffer: memoryBuffer.optional() };
