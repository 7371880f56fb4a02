import { z } from 'zod';
import { configurationSchema } from '../configuration.ts';
import { RUN_ID } from '../files/run-layout.ts';
import { MAX_CLASSES, MAX_STEPS, MAX_TEXT_CHARACTERS } from '../limits.ts';
import { count } from './message-fields.ts';
import { foreignText } from '../schema.ts';
import { memoryAddress } from './shared-memory.ts';

/** The response to GET /run: everything that a worker needs before it connects. */
export const runDescriptionSchema = z.object({
  protocol: z.int(),
  arithmetic: z.int(),
  version: foreignText(32),
  run: z.string().regex(RUN_ID),
  /** Size of the largest frame in the run, which the worker must accept. */
  frame_bytes: z.int().positive(),
  data_bytes: z.int().positive(),
  class_names: z.array(z.string().max(MAX_TEXT_CHARACTERS)).max(MAX_CLASSES),
  configuration: configurationSchema,
  /** The coordinator's shared memory, for workers on its host. */
  memory: memoryAddress.optional(),
  /** The steps for whose results the coordinator wants marks. */
  trace: z.object({ from: count(MAX_STEPS), to: count(MAX_STEPS) }).optional(),
});

export type RunDescription = z.infer<typeof runDescriptionSchema>;

/** The fields that all versions of mnist-dist have in common. */
export const versionsSchema = z.object({
  protocol: z.int(),
  arithmetic: z.int(),
  version: foreignText(32),
});

export type Versions = z.infer<typeof versionsSchema>;
