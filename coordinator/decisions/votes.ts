import { MAX_SUSPECTS } from '../../shared/limits.ts';
import { ROOT, type Node } from '../../shared/arithmetic/tree.ts';
import { andThen, close, log, type Next } from './effects.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';
import type { Accepted, Answer, Part, Task } from './task.ts';
import { end, stopped, undecided } from './outcome.ts';

/**
 * What happens where two workers were asked for one part, because it is audited or because one was
 * late. Both compute the same bytes, unless one has broken memory or lies: then a third computation
 * decides. A worker answers a part once; who says something else of it later is wrong one time or
 * the other, and leaves.
 */

/**
 * Whether both say the same, as far as checksums tell, and digests where both have one: a checksum
 * can be made up.
 */
export function isAlike(one: Said, other: Said): boolean {
  const isDigested = one.digest !== undefined && other.digest !== undefined;
  if (isDigested && one.digest !== other.digest) return false;
  return one.checksum === other.checksum && one.correct === other.correct;
}

type Said = Pick<Answer, 'checksum' | 'correct'> & Partial<Pick<Answer, 'digest'>>;

/** What this worker has said of the part before. */
export function earlierOf(
  { answers, accepted }: Pick<Part, 'answers' | 'accepted'>,
  session: string,
): Answer | undefined {
  return accepted?.session === session
    ? accepted
    : answers.find((answer) => answer.session === session);
}

/** Whether workers have answered this part differently. */
export function isContested({ answers: [first, ...others] }: Pick<Part, 'answers'>): boolean {
  return first !== undefined && !others.every((other) => isAlike(other, first));
}

/** The part with one more answer. Its lease has done its duty, whatever comes of it. */
export function withAnswer(part: Part, answer: Answer): Part {
  const answers = [...part.answers.filter(({ session }) => session !== answer.session), answer];
  const leases = part.leases.map((lease) =>
    lease.slot === answer.slot && (lease.state === 'open' || lease.state === 'late')
      ? { ...lease, state: 'answered' as const }
      : lease,
  );
  return { ...part, answers, leases };
}

/** How many workers say exactly this. */
export function supportOf({ answers }: Part, { digest, correct }: Answer): number {
  return answers.filter(
    (other) => other.digest === digest && digest !== undefined && other.correct === correct,
  ).length;
}

/**
 * Nobody can confirm what this worker has said, and nobody contradicts it: its word is enough, once
 * it has said it again.
 */
export function asLone(part: Part, slot: number): Part {
  const isLone = part.quorum === 2 && part.answers.length === 1 && part.answers[0]?.slot === slot;
  return isLone ? { ...part, quorum: 1 } : part;
}

/** Said once, until an audit succeeds again: something counts that nobody has confirmed. */
export function noticeUnaudited(
  state: RunState,
  message: string,
  fields: { step: number; part?: number },
): Next {
  if (state.isAuditIdle) return { state, effects: [] };
  return {
    state: { ...state, isAuditIdle: true },
    effects: [log('unaudited', message, fields, 'warn')],
  };
}

/** Whether a part counts now with one answer that was to be confirmed. */
export function noticeLone(state: RunState, before: Task, { parts }: Task): Next {
  const lone = [...parts].find(
    ([number, { quorum }]) => quorum === 1 && before.parts.get(number)?.quorum === 2,
  );
  if (lone === undefined) return { state, effects: [] };
  const [part, { answers }] = lone;
  const message = `part ${part} of step ${before.step} relies on ${answers[0]?.name} alone: no other worker is there to confirm it`;
  return noticeUnaudited(state, message, { step: before.step, part });
}

/**
 * A part was decided by two. The one that was asked first is confirmed (who audits knows that it
 * does); who said something else is not believed any more.
 */
export function settle(
  state: RunState,
  task: Task,
  number: number,
  part: Part,
  right: Answer,
): Next {
  const [first] = part.leases;
  const confirmed = part.answers.find(
    ({ slot }) => first?.state !== 'gone' && slot === first?.slot,
  );
  const worker = confirmed && state.workers.get(confirmed.slot);
  const isRight = worker !== undefined && confirmed !== undefined && isAlike(confirmed, right);
  const known = isRight ? withWorker(state, { ...worker, confirmed: task.step }) : state;
  const wrong = part.answers.filter((answer) => !isAlike(answer, right));
  return wrong.reduce<Next>(
    (next, { slot }) =>
      andThen(next, (s) => accuse(s, task.step, number, slot, 'two others contradict')),
    { state: { ...known, isAuditIdle: false }, effects: [] },
  );
}

/**
 * A worker is found to be wrong: its connection ends, and what nobody else has computed of it is
 * named.
 */
export function accuse(
  state: RunState,
  step: number,
  part: number,
  slot: number,
  who: string,
): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined) return { state, effects: [] };
  const { name } = worker;
  // Of the step in which it was last confirmed, others of its parts may not have been.
  const from = worker.confirmed ?? 1;
  const others = state.suspects.filter((suspect) => suspect.name !== name || suspect.to < from);
  const suspects = [...others, { name, from, to: step }].slice(-MAX_SUSPECTS);
  const counts = { ...state.counts, differing: state.counts.differing + 1 };
  const what = `${name} (slot ${slot}) is wrong about part ${part} of step ${step}: ${who} it`;
  const message = `${what}; steps ${from} to ${step} may hold other results of it: mnist-dist verify RUN --from ${from - 1} decides`;
  const line = log('differing', message, { worker: name, slot, step, part, from }, 'warn');
  return andThen({ state: { ...state, suspects, counts }, effects: [line] }, (s) =>
    close(
      s,
      slot,
      'DISAGREEMENT',
      `this worker is wrong about part ${part} of step ${step}: ${who} it`,
    ),
  );
}

/**
 * Who says two things is wrong once. Where the first one counts already, the part is computed
 * again, as long as that is possible.
 */
export function contradictItself(
  state: RunState,
  task: Task,
  number: number,
  answer: Answer,
): Next {
  const part = task.parts.get(number);
  const isAccepted = part?.accepted?.session === answer.session;
  const reopened =
    isAccepted && task.openParts > 0 ? reopen(state, task, number, []) : { state, effects: [] };
  return andThen(reopened, (s) => accuse(s, task.step, number, answer.slot, 'it contradicts'));
}

/**
 * Another worker than the one whose result counts says something else, while the step is open: a
 * third one decides.
 */
export function contest(
  state: RunState,
  task: Task,
  number: number,
  accepted: Accepted,
  differing: Answer,
): Next {
  const message = `${differing.name} and ${accepted.name} differ about part ${number} of step ${task.step}: it is computed once more`;
  const line = log('differing', message, { step: task.step, part: number }, 'warn');
  const { samples: _, ...answer } = accepted;
  return andThen({ state, effects: [line] }, (s) => reopen(s, task, number, [answer, differing]));
}

/**
 * An accepted result is taken back. The sum that it went into is forgotten, and with it the other
 * parts in it, which are computed again. What was said of the part so far are these `answers`; with
 * two of them, only a quorum of 2 decides it.
 */
function reopen(state: RunState, task: Task, number: number, answers: readonly Answer[]): Next {
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
    const { leases } = withAnswer(part, accepted);
    parts.set(each, { ...part, leases, accepted: undefined });
  }
  const part = parts.get(number);
  if (part !== undefined) {
    const open: Part = { ...part, answers: [], quorum: answers.length > 1 ? 2 : part.quorum };
    parts.set(number, answers.reduce(withAnswer, open));
  }
  const sums = new Set(task.sums);
  sums.delete(top);
  const reopened: Task = { ...task, parts, sums, openParts, correct };
  return {
    state: { ...state, task: reopened, delivered },
    effects: [{ kind: 'forget', node: top }],
  };
}

/**
 * Parts that nobody is left to decide wait for another worker, as a run with too few does, and no
 * longer than that: `unassigned` is what nobody could be asked for.
 */
export function judgeUndecided(
  state: RunState,
  task: Task,
  unassigned: readonly number[],
  now: number,
): Next {
  const part = unassigned.find((number) => isContested(task.parts.get(number) ?? { answers: [] }));
  const since = part === undefined ? undefined : (task.undecidedSince ?? now);
  if (since === undefined && task.undecidedSince === undefined) return { state, effects: [] };
  const waiting: RunState = { ...state, task: { ...task, undecidedSince: since } };
  if (part === undefined || since === undefined) return { state: waiting, effects: [] };
  if (state.stopping !== undefined) return end(waiting, stopped(state.stopping));
  if (now - since >= state.settings.rendezvousMilliseconds)
    return end(waiting, undecided(state, task.step));
  if (task.undecidedSince !== undefined) return { state: waiting, effects: [] };
  const message = `workers differ about part ${part} of step ${task.step}; waiting for another one to decide (--rdzv-timeout)`;
  return {
    state: waiting,
    effects: [log('undecided', message, { step: task.step, part }, 'warn')],
  };
}

/**
 * A result of a step that is done differs from what was accepted then: said once of each
 * connection, counted always.
 */
export function reportLate(state: RunState, task: Task, number: number, worker: WorkerState): Next {
  const accepted = task.parts.get(number)?.accepted;
  if (accepted === undefined || state.mixed) return { state, effects: [] };
  const counts = { ...state.counts, differing: state.counts.differing + 1 };
  const counted = withWorker({ ...state, counts }, { ...worker, hasDiffered: true });
  if (worker.hasDiffered) return { state: counted, effects: [] };
  const { step } = task;
  const message = `${worker.name} and ${accepted.name} differ about part ${number} of step ${step}, which is done: mnist-dist verify RUN --from ${step - 1} says who is right`;
  const fields = { step, part: number, accepted: accepted.name, differing: worker.name };
  return { state: counted, effects: [log('differing', message, fields, 'warn')] };
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
