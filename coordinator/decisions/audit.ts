import { philox4x32 } from '../../shared/arithmetic/philox.ts';
import type { Node } from '../../shared/arithmetic/tree.ts';
import type { Next } from './effects.ts';
import type { Audit, RunState } from './state.ts';
import { leaseMore } from './leases.ts';
import { noticeUnaudited } from './votes.ts';
import { computingSlots } from './worker-counts.ts';
import type { Assignment } from './task.ts';

const WORD = 2 ** 32;
const words = new Uint32Array(4);

/**
 * Some of a step's subtrees are computed by a second worker too, and count only when both agree.
 * Which ones and by whom is drawn with a key that no worker knows, and told to the auditor alone:
 * whoever is audited sees nothing of it.
 */
export function beginAudits(state: RunState, assignment: Assignment, now: number): Next {
  const { audit } = state.settings;
  const { task } = state;
  if (audit === undefined || task === undefined) return { state, effects: [] };
  const slots = computingSlots(state);
  if (slots.length < 2) {
    const message = 'one worker computes: no other worker is there to audit it (--audit)';
    return noticeUnaudited(state, message, { step: task.step });
  }
  const parts = new Map(task.parts);
  const drawn = new Map<number, Node[]>();
  for (const [slot, nodes] of assignment) {
    for (const node of nodes) {
      const part = parts.get(node);
      const auditor = draw(
        audit,
        task.step,
        node,
        slots.filter((other) => other !== slot),
      );
      if (part === undefined || auditor === undefined) continue;
      parts.set(node, { ...part, quorum: 2 });
      drawn.set(auditor, [...(drawn.get(auditor) ?? []), node]);
    }
  }
  const audited = { ...task, parts };
  return leaseMore({ ...state, task: audited, isAuditIdle: false }, audited, drawn, now);
}

/** One of the others, or nobody. */
function draw(
  { rate, key }: Audit,
  step: number,
  node: Node,
  others: readonly number[],
): number | undefined {
  philox4x32(words, node, step, 0, 0, ...key);
  const [choice = 0, whom = 0] = words;
  return choice < rate * WORD ? others[whom % others.length] : undefined;
}
