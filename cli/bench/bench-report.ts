import { z } from 'zod';
import { engineKinds } from '../../shared/engine-identity.ts';
import { transports } from './exchange-bench.ts';
import { kernelNames } from './kernel-timing.ts';
import { phaseNames } from './step-phases.ts';

/** Version of the format printed by `mnist-dist bench --json`. */
export const BENCH_FORMAT = 2;

const count = z.int().min(1);
const spread = z
  .strictObject({ median: z.number(), min: z.number(), max: z.number(), repetitions: count })
  .refine(({ min, median, max }) => min <= median && median <= max, 'min <= median <= max');

export const benchReportSchema = z.strictObject({
  format: z.literal(BENCH_FORMAT),
  version: z.string(),
  machine: z.strictObject({
    node: z.string(),
    platform: z.string(),
    processor: z.string(),
    cores: count,
  }),
  model: z.strictObject({
    inputs: count,
    hidden: z.array(count),
    classes: count,
    parameters: count,
  }),
  engine: z.enum(engineKinds).describe('Engine used in the full loop.'),
  pairs: count.describe('Interleaved repetitions of each measurement.'),
  kernels: z.array(
    z.strictObject({
      kernel: z.enum(kernelNames),
      batch_size: count.optional().describe('Rows in a dropout mask.'),
      microseconds: spread,
    }),
  ),
  observation: z
    .strictObject({ workers: count, microseconds: spread })
    .describe('Time that the coordinator spends per step on the live page and the metrics.'),
  coordinator: z
    .array(z.strictObject({ workers: count, microseconds: spread }))
    .describe('Time that the coordinator spends per step on messages and decisions.'),
  engines: z
    .array(
      z.strictObject({
        engine: z.enum(engineKinds),
        library: z.string(),
        batch_size: count,
        virtual_shards: count,
        shards: count.describe('Shards in one call.'),
        milliseconds: spread,
      }),
    )
    .describe('A gradient call, measured alone.'),
  skipped: z.array(z.strictObject({ engine: z.enum(engineKinds), reason: z.string() })),
  wire: z
    .array(
      z.strictObject({ transport: z.enum(transports), workers: count, steps_per_second: spread }),
    )
    .describe(
      'Sends the weights to every worker and a gradient back, without computing anything. ' +
        "`bare tls` exchanges the same number of bytes over Node's own TLS sockets.",
    ),
  loop: z.array(
    z.strictObject({
      batch_size: count,
      virtual_shards: count,
      workers: count,
      steps: count.describe('Measured steps, after 200 warm-up steps.'),
      steps_per_second: spread,
      step_milliseconds: spread.describe(
        "Each run's median step duration, from its metrics.jsonl.",
      ),
      phases: z
        .array(
          z.strictObject({
            phase: z.enum(phaseNames),
            milliseconds: z.number(),
            share: z.number(),
          }),
        )
        .describe(
          'Phases measured alone, and the rest of the median step. The shares add up to 1.',
        ),
    }),
  ),
});

export type BenchReport = z.infer<typeof benchReportSchema>;
