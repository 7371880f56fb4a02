import { z } from 'zod';

const ratio = z.number().min(0).lt(1);
const adam = { beta1: ratio, beta2: ratio, epsilon: z.number().gt(0) };

/** How a step changes the weights, and its parameters. docs/spec/arithmetic.md has the formulas. */
export const optimizerSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('adam'), ...adam }),
  /** Adam whose recipe may have a weight decay. */
  z.strictObject({ kind: z.literal('adamw'), ...adam }),
  z
    .strictObject({ kind: z.literal('sgd'), momentum: ratio, nesterov: z.boolean() })
    .refine(({ momentum, nesterov }) => momentum > 0 || !nesterov, {
      message: 'needs a momentum above 0',
      path: ['nesterov'],
    }),
]);

export type Optimizer = z.infer<typeof optimizerSchema>;

/**
 * The names, in checkpoints, of the vectors that an optimizer keeps between steps. Each has as many
 * floats as the weights and starts as +0.
 */
export function stateNames(optimizer: Optimizer): readonly string[] {
  if (optimizer.kind !== 'sgd') return ['adam.m', 'adam.v'];
  return optimizer.momentum === 0 ? [] : ['sgd.v'];
}
