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
/** For messages whose body may be in the sender's shared memory, where `buffer` locates it. */
export const located = { ...fence, buffer: memoryBuffer.optional() };
