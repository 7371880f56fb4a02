import { MAX_SUSPECTS } from '../../shared/limits.ts';
import { ROOT, type Node } from '../../shared/arithmetic/tree.ts';
import { andThen, close, log, type Next } from './effects.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';
import type { Accepted, Answer, Part, Task } from './task.ts';
import { end, stopped, undecided } from './outcome.ts';

/**
 * Two workers may compute the same part, either because it is audited or because one worker was
 * late. Both get the same bytes unless one of them has faulty memory or is dishonest; in that case
 * a third result decides. A worker that sends two different results for one part is disconnected.
 */

/** Reasons to reject a worker. */
export const OUTVOTED = 'two other workers agree on a different result';
const CONTRADICTION = 'it sent two different results';

/**
 * Whether the checksums and correct rows are equal and, if both answers have digests, the digests
 * as well.
 */
export function isSameAnswer(one: AnswerSummary, other: AnswerSummary): boolean {
  const isDigested = one.digest !== undefined && other.digest !== undefined;
  if (isDigested && one.digest !== other.digest) return false;
  return one.checksum === other.checksum && one.correct === other.correct;
}

type AnswerSummary = Pick<Answer, 'checksum' | 'correct'> & Partial<Pick<Answer, 'digest'>>;

/** The worker's earlier answer for this part, if any. */
export function earlierAnswer(
  { answers, accepted }: Pick<Part, 'answers' | 'accepted'>,
  session: string,
): Answer | undefined {
  return accepted?.session === session
    ? accepted
    : answers.find((answer) => answer.session === session);
}

/** Whether the answers for this part differ. */
export function isDisputed({ answers: [first, ...others] }: Pick<Part, 'answers'>): boolean {
  return first !== undefined && !others.every((other) => isSameAnswer(other, first));
}

/** Adds an answer to the part, which closes the worker's lease on it. */
export function withAnswer(part: Part, answer: Answer): Part {
  const answers = [...part.answers.filter(({ session }) => session !== answer.session), answer];
  const leases = part.leases.map((lease) =>
    lease.slot === answer.slot && (lease.state === 'open' || lease.state === 'late')
      ? { ...lease, state: 'answered' as const }
      : lease,
  );
  return { ...part, answers, leases };
}

/** The number of answers with the same digest and correct rows. */
export function votesFor({ answers }: Part, { digest, correct }: Answer): number {
  return answers.filter(
    (other) => other.digest === digest && digest !== undefined && other.correct === correct,
  ).length;
}

/** Lowers the quorum to 1 if the part's only answer comes from the only worker left to ask. */
export function acceptUnconfirmed(part: Part, slot: number): Part {
  const isLone = part.quorum === 2 && part.answers.length === 1 && part.answers[0]?.slot === slot;
  return isLone ? { ...part, quorum: 1 } : part;
}

/** Warns of an unaudited result. Does not warn again until an audit has succeeded. */
export function warnUnaudited(
  state: RunState,
  message: string,
  fields: { step: number; part?: number },
): Next {
  if (state.isAuditSkipped) return { state, effects: [] };
  return {
    state: { ...state, isAuditSkipped: true },
    effects: [log('unaudited', message, fields, 'warn')],
  };
}

/** Warns of a part whose quorum was lowered to 1. */
export function warnUnconfirmed(state: RunState, before: Task, { parts }: Task): Next {
  const lone = [...parts].find(
    ([number, { quorum }]) => quorum === 1 && before.parts.get(number)?.quorum === 2,
  );
  if (lone === undefined) return { state, effects: [] };
  const [part, { answers }] = lone;
  const message =
    `part ${part} of step ${before.step} relies on ${answers[0]?.name} alone: no other worker ` +
    'can confirm it';
  return warnUnaudited(state, message, { step: before.step, part });
}

/**
 * Settles a part on which two workers agree. The worker that was asked first counts as confirmed,
 * since it could not know of the audit. Workers with a different answer are rejected.
 */
export function settleVote(
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
  const isRight = worker !== undefined && confirmed !== undefined && isSameAnswer(confirmed, right);
  const known = isRight ? withWorker(state, { ...worker, confirmed: task.step }) : state;
  const wrong = part.answers.filter((answer) => !isSameAnswer(answer, right));
  return wrong.reduce<Next>(
    (next, { slot }) => andThen(next, (s) => rejectWorker(s, task.step, number, slot, OUTVOTED)),
    { state: { ...known, isAuditSkipped: false }, effects: [] },
  );
}

/**
 * Disconnects a worker that sent a wrong result, and records the steps that may contain more wrong
 * results: those since another worker last confirmed one of its results.
 */
export function rejectWorker(
  state: RunState,
  step: number,
  part: number,
  slot: number,
  why: string,
): Next {
  const worker = state.workers.get(slot);
  if (worker === undefined) return { state, effects: [] };
  const { name } = worker;
  // The worker's other parts in its last confirmed step may be wrong, so that step is included.
  const from = worker.confirmed ?? 1;
  const others = state.suspects.filter((suspect) => suspect.name !== name || suspect.to < from);
  const suspects = [...others, { name, from, to: step }].slice(-MAX_SUSPECTS);
  const counts = { ...state.counts, differing: state.counts.differing + 1 };
  const what = `sent a wrong result for part ${part} of step ${step}: ${why}`;
  const message =
    `${name} (slot ${slot}) ${what}; steps ${from} to ${step} may contain more wrong results: ` +
    `check with mnist-dist verify RUN --from ${from - 1}`;
  const line = log('differing', message, { worker: name, slot, step, part, from }, 'warn');
  return andThen({ state: { ...state, suspects, counts }, effects: [line] }, (s) =>
    close(s, slot, 'DISAGREEMENT', `this worker ${what}`),
  );
}

/**
 * Rejects a worker that sent two different results for one part. If the first result was accepted,
 * the part is reopened, unless the task's sum is complete.
 */
export function rejectContradiction(
  state: RunState,
  task: Task,
  number: number,
  answer: Answer,
): Next {
  const part = task.parts.get(number);
  const isAccepted = part?.accepted?.session === answer.session;
  const reopened =
    isAccepted && task.openParts > 0 ? reopen(state, task, number, []) : { state, effects: [] };
  return andThen(reopened, (s) => rejectWorker(s, task.step, number, answer.slot, CONTRADICTION));
}

/** Handles two workers that disagree about a part of the open step: a third result decides. */
export function openDispute(
  state: RunState,
  task: Task,
  number: number,
  accepted: Accepted,
  differing: Answer,
): Next {
  const message =
    `${differing.name} and ${accepted.name} disagree about part ${number} of step ` +
    `${task.step}: it is computed again`;
  const line = log('differing', message, { step: task.step, part: number }, 'warn');
  const { samples: _, ...answer } = accepted;
  return andThen({ state, effects: [line] }, (s) => reopen(s, task, number, [answer, differing]));
}

/**
 * Discards an accepted result. The sum that contains the result is dropped, so the other parts of
 * that sum are recomputed as well. `answers` are the part's answers so far; two of them raise its
 * quorum to 2.
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
 * Waits for another worker if one of the `unassigned` parts is disputed, since no connected worker
 * can decide it. The run ends with DISAGREEMENT after --rdzv-timeout.
 */
export function waitForDecision(
  state: RunState,
  task: Task,
  unassigned: readonly number[],
  now: number,
): Next {
  const part = unassigned.find((number) => isDisputed(task.parts.get(number) ?? { answers: [] }));
  const since = part === undefined ? undefined : (task.undecidedSince ?? now);
  if (since === undefined && task.undecidedSince === undefined) return { state, effects: [] };
  const waiting: RunState = { ...state, task: { ...task, undecidedSince: since } };
  if (part === undefined || since === undefined) return { state: waiting, effects: [] };
  if (state.stopping !== undefined) return end(waiting, stopped(state.stopping));
  if (now - since >= state.settings.rendezvousMilliseconds)
    return end(waiting, undecided(state, task.step));
  if (task.undecidedSince !== undefined) return { state: waiting, effects: [] };
  const message =
    `workers disagree about part ${part} of step ${task.step}; waiting for another worker to ` +
    'decide (--rdzv-timeout)';
  return {
    state: waiting,
    effects: [log('undecided', message, { step: task.step, part }, 'warn')],
  };
}

/**
 * Reports a late result for a closed step that differs from the accepted result. Every such result
 * is counted; only the first on each connection is logged.
 */
export function reportLate(state: RunState, task: Task, number: number, worker: WorkerState): Next {
  const accepted = task.parts.get(number)?.accepted;
  if (accepted === undefined || state.mixed) return { state, effects: [] };
  const counts = { ...state.counts, differing: state.counts.differing + 1 };
  const counted = withWorker({ ...state, counts }, { ...worker, hasDiffered: true });
  if (worker.hasDiffered) return { state: counted, effects: [] };
  const { step } = task;
  const message =
    `${worker.name} and ${accepted.name} disagree about part ${number} of step ${step}, which ` +
    `is done: run mnist-dist verify RUN --from ${step - 1} to see which is right`;
  const fields = { step, part: number, accepted: accepted.name, differing: worker.name };
  return { state: counted, effects: [log('differing', message, fields, 'warn')] };
}

/** The node whose sum contains the part. */
function sumOver({ sums }: Task, part: Node): Node {
  let node = part;
  while (node > ROOT && !sums.has(node)) node >>= 1;
  return node;
}

function isUnder(node: Node, top: Node): boolean {
  return node >> Math.max(0, Math.clz32(top) - Math.clz32(node)) === top;
}
