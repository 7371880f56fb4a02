import { evaluatedSets, type EvaluatedSet } from '../evaluation/evaluated-set.ts';

/** The kinds of tasks for one step, in their order: the step, then its evaluations. */
export const taskKinds = ['step', ...evaluatedSets] as const;
export type TaskKind = (typeof taskKinds)[number];

/** Orders steps and evaluations by time: the evaluations after a step follow it. */
export function taskOrder(kind: TaskKind, step: number): number {
  return taskKinds.length * step + taskKinds.indexOf(kind);
}

/** The messages with a task's weights or results. */
type TaskMessage =
  | { readonly kind: 'step' | 'gradient' }
  | { readonly kind: 'evaluate' | 'predictions'; readonly set: EvaluatedSet };

/** The kind of a message's task. */
export function taskKindOf(message: TaskMessage): TaskKind {
  return 'set' in message ? message.set : 'step';
}
