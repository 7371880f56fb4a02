import { ROOT, type Node } from '../shared/tree.ts';
import { close, log } from './effects.ts';
import { end, undecided } from './outcome.ts';
import { andThen, type Effect, type Next, type Part, type RunState, type Task, type Vote } from './state.ts';

/**
 * What happens where two workers were asked for one part, because it is audited or because one was late. Both compute the same
 * bytes, unless one has broken memory or lies: then a third computation decides. What a worker says is a vote.
 */

/** The part with one more vote, the last word of its worker, and whether that vote makes the quorum. */
export function cast(part: Part, vote: Vote): { readonly part: Part; readonly isDecided: boolean } {
  const votes = [...part.votes.filter(({ session }) => session !== vote.session), vote];
  const agreeing = votes.filter((other) => agrees(other, vote)).length;
  const leases = part.leases.map((lease) =>
    lease.slot === vote.slot && (lease.state === 'open' || lease.state === 'late')
      ? { ...lease, state: 'answered' as const }
      : lease,
  );
  return { part: { ...part, votes, leases }, isDecided: agreeing >= part.quorum };
}

/** Whether both say the same. */
export function agrees(one: Said, other: Said): boolean {
  return one.checksum === other.checksum && one.correct === other.correct;
}

type Said = Pick<Vote, 'checksum' | 'correct'>;

/** Whether workers have answered this part differently. */
export function isContested({ votes: [first, ...others] }: Pick<Part, 'votes'>): boolean {
  return first !== undefined && !others.every((other) => agrees(other, first));
}

/** A part was decided by two: they confirm each other, and whoever said something else is not believed any more. */
export function settle(state: RunState, task: Task, number: number, { votes }: Part, right: Vote): Next {
  const confirmed = new Map(state.confirmed);
  for (const vote of votes) if (agrees(vote, right)) confirmed.set(vote.name, task.step);
  const wrong = votes.filter((vote) => !agrees(vote, right));
  return wrong.reduce<Next>((next, vote) => andThen(next, (s) => accuse(s, task.step, number, vote)), {
    state: { ...state, confirmed },
    effects: [],
  });
}

/** Two others agree on another result: this worker's connection ends, and what nobody else has computed of it is named. */
export function accuse(state: RunState, step: number, part: number, { name, slot, session }: Vote): Next {
  // Of the step in which it was last confirmed, others of its parts may not have been.
  const from = state.confirmed.get(name) ?? 1;
  const others = state.suspects.filter((suspect) => suspect.name !== name || suspect.to < from);
  const suspects = [...others, { name, from, to: step }];
  const counts = { ...state.counts, differing: state.counts.differing + 1 };
  const what = `${name} computed something else for part ${part} of step ${step} than two others`;
  const message = `${what}; steps ${from} to ${step} may hold other results of it: mnist-dist verify RUN --from ${from - 1} decides`;
  const line = log('differing', message, { worker: name, step, part, from }, 'warn');
  const accused: Next = { state: { ...state, suspects, counts }, effects: [line] };
  if (state.workers.get(slot)?.session !== session) return accused;
  return andThen(accused, (s) =>
    close(s, slot, 'DISAGREEMENT', `what this worker computed for step ${step} is not what two others did`),
  );
}

/**
 * A second result differs from the accepted one while the step is open: who is right is decided by a third. The sum that the accepted one
 * went into is forgotten, and with it the other parts in it, which are computed again.
 */
export function reopen(state: RunState, task: Task, number: number, differing: Vote): Next {
  const top = sumOver(task, number);
  const parts = new Map(task.parts);
  const delivered = new Map(state.delivered);
  let { openParts, correct } = task;
  for (const [each, part] of task.parts) {
    const { accepted } = part;
    if (accepted === undefined || !isUnder(each, top)) continue;
    openParts += 1;
    correct -= accepted.correct;
    delivered.set(accepted.name, (delivered.get(accepted.name) ?? 0) - accepted.samples);
    const taken = cast({ ...part, accepted: undefined }, accepted).part;
    const isIt = each === number;
    const contested: Part = { ...cast(taken, differing).part, quorum: 2, wasReopened: true };
    parts.set(each, isIt ? contested : { ...taken, votes: [] });
  }
  const sums = new Set(task.sums);
  sums.delete(top);
  const effects: Effect[] = [
    log(
      'differing',
      `${differing.name} and ${task.parts.get(number)?.accepted?.name} differ about part ${number} of step ${task.step}: it is computed once more`,
      { step: task.step, part: number },
      'warn',
    ),
    { kind: 'forget', node: top },
  ];
  const open: Task = { ...task, parts, sums, openParts, correct };
  return { state: { ...state, task: open, delivered }, effects };
}

/**
 * Parts that nobody is left to decide wait for another worker, as a run with too few does, and no longer than that: `left` is what
 * nobody could be asked for.
 */
export function judgeUndecided(state: RunState, task: Task, left: readonly number[], now: number): Next {
  const part = left.find((number) => isContested(task.parts.get(number) ?? { votes: [] }));
  const since = part === undefined ? undefined : (task.undecidedSince ?? now);
  if (since === task.undecidedSince && since === undefined) return { state, effects: [] };
  const waiting: RunState = { ...state, task: { ...task, undecidedSince: since } };
  if (part === undefined || since === undefined) return { state: waiting, effects: [] };
  if (now - since >= state.settings.rendezvousMilliseconds) return end(waiting, undecided(state, task.step));
  if (task.undecidedSince !== undefined) return { state: waiting, effects: [] };
  const message = `workers differ about part ${part} of step ${task.step}; waiting for another one to decide (--rdzv-timeout)`;
  return { state: waiting, effects: [log('undecided', message, { step: task.step, part }, 'warn')] };
}

/** A result of a step that is done differs from what was accepted then. */
export function reportLate(state: RunState, task: Task, number: number, differing: Vote): Next {
  const accepted = task.parts.get(number)?.accepted;
  if (accepted === undefined || state.mixed) return { state, effects: [] };
  const counts = { ...state.counts, differing: state.counts.differing + 1 };
  const { step } = task;
  const message = `${differing.name} and ${accepted.name} differ about part ${number} of step ${step}, which is done: mnist-dist verify RUN --from ${step - 1} says who is right`;
  const fields = { step, part: number, accepted: accepted.name, differing: differing.name };
  return { state: { ...state, counts }, effects: [log('differing', message, fields, 'warn')] };
}

/** The node whose sum holds the part's. */
function sumOver({ sums }: Task, part: Node): Node {
  let node = part;
  while (node > ROOT && !sums.has(node)) node >>= 1;
  return node;
}

function isUnder(node: Node, top: Node): boolean {
  return node >> Math.max(0, Math.clz32(top) - Math.clz32(node)) === top;
}
