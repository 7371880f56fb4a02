import { z } from 'zod';
import { configurationRecordSchema, recordOfFirstArithmetic } from '../configuration.ts';
import { ClusterError, errorCodes, messageOf } from '../errors.ts';
import {
  MAX_CLASSES,
  MAX_NAME_CHARACTERS,
  MAX_STEPS,
  MAX_SUSPECTS,
  MAX_TEXT_CHARACTERS,
} from '../limits.ts';
import { engineIdentity } from '../engine-identity.ts';
import { ARITHMETIC } from '../arithmetic/version.ts';
import { RUN_ID } from './run-layout.ts';
import { issuesOf } from '../schema.ts';

/** The format of run.json, which is rewritten as a whole whenever the run's state changes. */
export const RUN_FORMAT = 1;

export const runStates = ['running', 'finished', 'interrupted', 'failed', 'diverged'] as const;
export type RunStatus = (typeof runStates)[number];

const count = z.int().min(0);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()]);

export const runRecordSchema = z.strictObject({
  format: z.literal(RUN_FORMAT),
  arithmetic: z
    .int()
    .min(1)
    .max(ARITHMETIC)
    .describe('Incremented when the same configuration would produce different bytes.'),
  version: z.string().max(32).describe('The version of mnist-dist.'),
  run: z.string().regex(RUN_ID),
  state: z.enum(runStates),
  term: count.max(MAX_STEPS).describe('How many coordinators have been started for this run.'),
  started: z.iso.datetime(),
  ended: z.iso.datetime().optional(),
  configuration: configurationRecordSchema.describe("Everything that the run's bytes depend on."),
  launch: z
    .record(z.string(), z.union([scalar, z.array(scalar)]))
    .describe('How the run was started: workers, ports, paths. It does not affect the model.'),
  engine: z
    .strictObject({
      description: engineIdentity,
      fingerprint: sha256,
      kernel_digest: sha256,
      reproducible: z
        .boolean()
        .describe('False once a worker with a different fingerprint has been admitted.'),
    })
    .optional()
    .describe('Set when the first step is planned.'),
  dataset: z.strictObject({
    sha256,
    name: z.string().max(MAX_NAME_CHARACTERS).optional(),
    rows: count,
    columns: count,
    train_samples: count,
    test_samples: count,
    class_names: z.array(z.string().max(MAX_TEXT_CHARACTERS)).max(MAX_CLASSES),
  }),
  step: count.max(MAX_STEPS).describe('The last completed step.'),
  chain: sha256.describe('The link of the last step.'),
  weights: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .describe('XXH64 of the weights after the last step.'),
  model: z
    .strictObject({
      sha256,
      step: count.max(MAX_STEPS).optional().describe('With --keep-best, the step of its weights.'),
    })
    .optional()
    .describe('The file model.safetensors, written at the end of the run.'),
  workers: z.array(
    z.strictObject({
      name: z.string().max(MAX_NAME_CHARACTERS),
      samples: count.describe(
        'Training samples whose gradients this worker computed and the run used.',
      ),
    }),
  ),
  workers_from_step: count
    .max(MAX_STEPS)
    .optional()
    .describe('The step after which the samples in `workers` are counted; 0 if absent.'),
  suspects: z
    .array(z.strictObject({ name: z.string().max(MAX_NAME_CHARACTERS), from: count, to: count }))
    .max(MAX_SUSPECTS)
    .optional()
    .describe(
      'Workers that sent wrong results, and the steps that may contain more of them (see verify).',
    ),
  result: z
    .strictObject({
      test: z.strictObject({
        loss: z.number(),
        accuracy: z.number().min(0).max(1),
        confusion: z
          .array(z.array(count))
          .describe('Rows are the true classes, columns are the predicted classes.'),
      }),
      steps_per_second: z
        .number()
        .nullable()
        .describe('Measured after step 200, excluding evaluations; null if the run is too short.'),
    })
    .optional(),
  best: z
    .strictObject({
      step: count.max(MAX_STEPS),
      loss: z.number(),
      waited: count.describe('The number of evaluations since.'),
    })
    .optional()
    .describe('The best evaluation of a run with early stopping or --keep-best.'),
  stopped_early: z.string().optional().describe('Why the run ended before its last step.'),
  error: z
    .strictObject({ code: z.enum(errorCodes), message: z.string(), fix: z.string().optional() })
    .optional()
    .describe('Why the run did not finish.'),
});

export type RunRecord = z.infer<typeof runRecordSchema>;

/** The command that started a run; undefined if its version did not record it. */
export function commandOf({ launch }: Pick<RunRecord, 'launch'>): string | undefined {
  const { command } = launch;
  return typeof command === 'string' ? command : undefined;
}

/**
 * Parses the text of a run.json file. Throws a DATA error that names `file` if the text is invalid.
 */
export function parseRunRecord(text: string, file: string): RunRecord {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ClusterError('DATA', `${file} is not JSON: ${messageOf(error)}`, { cause: error });
  }
  const parsed = runRecordSchema.safeParse(inTodaysForm(json));
  if (parsed.success) return parsed.data;
  throw new ClusterError(
    'DATA',
    `${file} is not a run of format ${RUN_FORMAT}: ${issuesOf(parsed.error)}`,
  );
}

const firstArithmeticSchema = z.looseObject({
  arithmetic: z.literal(1),
  configuration: z.unknown(),
});

/** A record of arithmetic 1 with today's form of the configuration; any other value unchanged. */
function inTodaysForm(json: unknown): unknown {
  const { data } = firstArithmeticSchema.safeParse(json);
  if (data === undefined) return json;
  return { ...data, configuration: recordOfFirstArithmetic(data.configuration) };
}

/** The JSON Schema (draft 2020-12) of run.json. */
export function runJsonSchema(): object {
  return { ...z.toJSONSchema(runRecordSchema), title: 'mnist-dist run.json' };
}
