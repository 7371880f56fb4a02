import { z } from 'zod';
import { flagsOf, runCommand } from './run-command.ts';
import { publicError } from './errors.ts';
import type { EvaluateOptions, Evaluation } from './public-types.ts';

/** The part of the JSON of `mnist-dist eval` that is returned. */
const evaluationSchema = z.object({
  model: z.string(),
  step: z.number(),
  samples: z.number(),
  correct: z.number(),
  accuracy: z.number(),
  loss: z.number(),
  class_names: z.array(z.string()),
  confusion: z.array(z.array(z.number())),
});

/** Evaluates a model as `mnist-dist eval` does, in a process of its own. */
export async function runEvaluation(
  named: string | undefined,
  options: EvaluateOptions,
): Promise<Evaluation> {
  const { signal, pictures = options.out !== undefined } = options;
  try {
    const flags = flagsOf('eval', { ...options, pictures });
    const operands = named === undefined ? [] : ['--', named];
    const lines: string[] = [];
    await runCommand(['eval', '--format=json', ...flags], operands, {
      signal,
      onResult: (line) => lines.push(line),
    });
    const { class_names, ...rest } = evaluationSchema.parse(JSON.parse(lines.join('\n')));
    return { ...rest, classNames: class_names };
  } catch (error) {
    throw publicError(error, signal);
  }
}
