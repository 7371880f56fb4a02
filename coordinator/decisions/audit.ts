import { philox4x32 } from '../../shared/arithmetic/philox.ts';
import type { Node } from '../../shared/arithmetic/tree.ts';
import type { Next } from './effects.ts';
import type { Audit, RunState } from './state.ts';
import { leaseMore } from './leases.ts';
import { warnUnaudited } from './votes.ts';
import { computingSlots } from './worker-counts.ts';
import type { Assignment, Task } from './task.ts';

const WORD = 2 ** 32;
const words = new Uint32Array(4);

/**
 * Has a second worker compute some of a step's subtrees, or of an evaluation's chunks, as well.
 * Their results count only when both workers agree. A random draw, with a key that no worker knows,
 * picks the parts and the auditors. Only the auditor receives an extra request, so the audited
 * worker cannot tell.
 */
export function beginAudits(state: RunState, assignment: Assignment, now: number): Next {
  const { audit } = state.settings;
  const { task } = state;
  if (audit === undefined || task === undefined) return { state, effects: [] };
  const slots = computingSlots(state);
  if (slots.length < 2) {
    const message = 'cannot audit: only one worker computes (--audit)';
    return warnUnaudited(state, message, { step: task.step });
  }
  const parts = new Map(task.parts);
  const drawn = new Map<number, Node[]>();
  for (const [slot, nodes] of assignment) {
    for (const node of nodes) {
      const part = parts.get(node);
      const auditor = draw(
        audit,
        task,
        node,
        slots.filter((other) => other !== slot),
      );
      if (part === undefined || auditor === undefined) continue;
      parts.set(node, { ...part, quorum: 2 });
      drawn.set(auditor, [...(drawn.get(auditor) ?? []), node]);
    }
  }
  const audited = { ...task, parts };
  return leaseMore({ ...state, task: audited, isAuditSkipped: false }, audited, drawn, now);
}

/** The auditor's slot, drawn from the other workers; undefined if the node is not audited. */
function draw(
  { rate, key }: Audit,
  { kind, step }: Pick<Task, 'kind' | 'step'>,
  node: Node,
  others: readonly number[],
): number | undefined {
  philox4x32(words, node, step, kind === 'step' ? 0 : 1, 0, ...key);
  const [choice = 0, whom = 0] = words;
  return choice < rate * WORD ? others[whom % others.length] : undefined;
}
