import { planStep } from '../../shared/arithmetic/schedule.ts';
import { firstShard, shardCount } from '../../shared/arithmetic/tree.ts';
import type { ResultMessage } from '../../shared/wire/messages.ts';
import { taskKindOf } from '../../shared/wire/task-order.ts';
import { andThen, close, type Effect, log, type Next } from './effects.ts';
import type { Verdict } from './events.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';
import type { Accepted, Answer, Part, Task } from './task.ts';
import { leaseOf, remember, workOf } from './leases.ts';
import { diverged, end, stopped } from './outcome.ts';
import { takeSum } from './reduce.ts';
import { recordFailure, recordSuccess } from './worker-trust.ts';
import {
  OUTVOTED,
  rejectWorker,
  openDispute,
  rejectContradiction,
  earlierAnswer,
  isSameAnswer,
  reportLate,
  settleVote,
  votesFor,
  withAnswer,
} from './votes.ts';

/**
 * Handles a result as it arrives. A result from another run or term is dropped. A result for
 * another step does not count either, but is compared with the accepted result if that is still
 * known. If the worker was not asked for the result, its connection is closed. The shell reads the
 * bodies of the remaining results only. `claimed` is the checksum that the worker sent with the
 * result.
 */
export function takeResult(
  state: RunState,
  worker: WorkerState,
  message: ResultMessage,
  claimed: bigint | undefined,
): Next {
  const { task, settings } = state;
  const { slot } = worker;
  const { part: number, microseconds } = message;
  const kind = taskKindOf(message);
  const isCurrent = message.run === settings.run && message.term === settings.term;
  if (!isCurrent) return fenced(state);
  if (task === undefined || task.kind !== kind || task.step !== message.step)
    return takeLate(state, worker, message, claimed);
  const part = task.parts.get(number);
  if (part === undefined || leaseOf(task, number, slot) === undefined)
    return refuse(state, slot, `a result for part ${number} without a lease on it`);
  const correct = message.kind === 'gradient' ? message.correct : 0;
  if (part.accepted !== undefined && kind !== 'step') return duplicate(state);
  const claim = { checksum: claimed ?? 0n, correct };
  if (part.accepted !== undefined && isSameAnswer(part.accepted, claim)) return duplicate(state);
  const earlier = earlierAnswer(part, worker.session);
  const isKnown = earlier?.digest !== undefined && isSameAnswer(earlier, claim);
  // If two workers already agree, the part was reopened together with its sibling, so its body is
  // needed.
  if (part.quorum === 2 && isKnown && votesFor(part, earlier) < part.quorum) {
    // The worker repeats its own answer, so its body is not needed again.
    const parts = new Map(task.parts).set(number, withAnswer(part, earlier));
    return duplicate({ ...state, task: { ...task, parts } });
  }
  if (correct > samplesOf(state, task, number))
    return refuse(state, slot, `${correct} correct rows, more than its shards have`);
  const isDigested = part.quorum === 2 || part.accepted !== undefined;
  return {
    state,
    effects: [
      { kind: 'receive', task: kind, part: number, slot, correct, microseconds, isDigested },
    ],
  };
}

/** Compares a result for a closed step with the accepted result, if that is still known. */
function takeLate(
  state: RunState,
  worker: WorkerState,
  message: ResultMessage,
  claimed: bigint | undefined,
): Next {
  const late = fenced(state);
  if (message.kind !== 'gradient' || claimed === undefined) return late;
  const { step, part, correct } = message;
  const task = state.closed.findLast((closed) => closed.step === step);
  const accepted = task?.parts.get(part)?.accepted;
  if (task === undefined || accepted === undefined) return late;
  if (leaseOf(task, part, worker.slot) === undefined) return late;
  const answer = answerOf(worker, { checksum: claimed, digest: undefined, correct });
  const earlier = earlierAnswer(task.parts.get(part) ?? { answers: [], accepted }, worker.session);
  if (earlier !== undefined && !isSameAnswer(earlier, answer))
    return rejectContradiction(late.state, task, part, answer);
  const known = earlier === undefined ? rememberLate(late.state, task, part, answer) : late.state;
  return isSameAnswer(accepted, answer) ? duplicate(known) : reportLate(known, task, part, worker);
}

/** Stores a late answer, since the same connection must not send a different answer later. */
function rememberLate(state: RunState, task: Task, number: number, answer: Answer): RunState {
  const closed = state.closed.map((done) => {
    const part = done === task ? done.parts.get(number) : undefined;
    if (part === undefined) return done;
    return { ...done, parts: new Map(done.parts).set(number, withAnswer(part, answer)) };
  });
  return { ...state, closed };
}

/**
 * Handles a result that the shell has received and checked. Each part takes exactly one result: the
 * first good one or, with a quorum of 2, the first one that two workers agree on.
 */
export function acceptResult(state: RunState, verdict: Verdict, now: number): Next {
  const { task } = state;
  const number = verdict.part;
  const part = task?.parts.get(number);
  const worker = state.workers.get(verdict.slot);
  if (task === undefined || part === undefined || worker === undefined) return duplicate(state);
  if (verdict.stale)
    return close(
      state,
      verdict.slot,
      'TIMEOUT',
      'this worker replaced a result before it was read',
    );
  if (!verdict.intact) return refuse(state, verdict.slot, 'a body with a wrong checksum');
  if (verdict.wrongClass !== undefined) {
    const { wrongClass, slot } = verdict;
    const { classes } = state.settings.configuration.model;
    const what = `predictions with class ${wrongClass}, but the model has ${classes} classes`;
    return refuse(state, slot, what);
  }
  const answer = answerOf(worker, verdict);
  const earlier = earlierAnswer(part, worker.session);
  if (verdict.finite && earlier !== undefined && !isSameAnswer(earlier, answer))
    return rejectContradiction(state, task, number, answer);
  if (part.accepted !== undefined)
    return compareWithAccepted(state, task, part.accepted, worker, verdict, answer);
  if (!verdict.finite) return nonFinite(state, task, part, verdict, now);
  if (part.quorum === 1) return accept(state, task, part, verdict, answer, now);

  const answered = withAnswer(part, answer);
  const asked = { ...task, parts: new Map(task.parts).set(number, answered) };
  if (votesFor(answered, answer) < part.quorum)
    return { state: { ...credit(state, task, verdict, 0, now).state, task: asked }, effects: [] };
  return andThen(settleVote(state, task, number, answered, answer), (s) =>
    accept(s, asked, answered, verdict, answer, now),
  );
}

/** Handles a second result for a part that has an accepted result from another worker. */
function compareWithAccepted(
  state: RunState,
  task: Task,
  accepted: Accepted,
  worker: WorkerState,
  verdict: Verdict,
  answer: Answer,
): Next {
  const { part: number, slot, finite } = verdict;
  if (isSameAnswer(accepted, answer) || !finite || state.mixed) return duplicate(state);
  if (task.parts.get(number)?.quorum === 2)
    return rejectWorker(state, task.step, number, slot, OUTVOTED);
  // The sum is complete: the update has used it, or is waiting for a free frame.
  if (task.openParts === 0) return reportLate(state, task, number, worker);
  return openDispute(state, task, number, accepted, answer);
}

/** Accepts the result and adds it to the sums. The last part of a task completes the task. */
function accept(
  state: RunState,
  task: Task,
  part: Part,
  verdict: Verdict,
  answer: Answer,
  now: number,
): Next {
  const samples = samplesOf(state, task, verdict.part);
  const accepted: Accepted = { ...answer, samples };
  const taken: Task = {
    ...task,
    parts: new Map(task.parts).set(verdict.part, { ...part, accepted }),
    openParts: task.openParts - 1,
    correct: task.correct + verdict.correct,
  };
  const effect: Effect = { kind: 'accept', task: task.kind, part: verdict.part };
  const credited = credit(state, task, verdict, samples, now);
  if (task.kind !== 'step') {
    const { kind: set, step } = task;
    const isComplete = taken.openParts === 0;
    const { keepBest } = state.settings.configuration;
    // The record of an evaluation that decides may wait for the disk. A resumed run repeats it.
    if (isComplete && keepBest === true && set === 'validation' && state.stopping !== undefined)
      return end(credited.state, stopped(state.stopping));
    const effects: Effect[] = isComplete ? [effect, { kind: 'evaluate', step, set }] : [effect];
    return {
      state: { ...credited.state, task: taken },
      effects: [...credited.effects, ...effects],
    };
  }
  const { virtualShards, realShards } = planStep(state.settings.configuration, task.step);
  const { sums, effects, complete } = takeSum(task, verdict.part, virtualShards, realShards);
  const update: Effect[] = complete
    ? [{ kind: 'update', step: task.step, correct: taken.correct }]
    : [];
  return {
    state: { ...credited.state, task: { ...taken, sums } },
    effects: [...credited.effects, effect, ...effects, ...update],
  };
}

function answerOf(
  { slot, session, name }: WorkerState,
  { checksum, digest, correct }: Pick<Verdict, 'checksum' | 'digest' | 'correct'>,
): Answer {
  return { slot, session, name, checksum, digest, correct };
}

/** Records the worker's speed and success, and credits the samples to it. */
function credit(state: RunState, task: Task, verdict: Verdict, samples: number, now: number): Next {
  const worker = state.workers.get(verdict.slot);
  const lease = leaseOf(task, verdict.part, verdict.slot);
  if (worker === undefined || lease === undefined) return { state, effects: [] };
  const { virtualShards } = state.settings.configuration;
  const work = workOf(task.kind, verdict.part, virtualShards);
  const times = remember(state.times, task.kind, (now - lease.granted) / work);
  const rewarded = recordSuccess(worker, task.kind, verdict, virtualShards, now);
  if (samples === 0) return { state: withWorker({ ...state, times }, rewarded), effects: [] };
  const credited = withWorker({ ...state, times }, { ...rewarded, hasDelivered: true });
  const { name, hasDelivered } = worker;
  const delivered = new Map(state.delivered).set(name, (state.delivered.get(name) ?? 0) + samples);
  const fields = { worker: name, step: task.step };
  const effects = hasDelivered
    ? []
    : [log('first_shard', `${name} delivered its first shard`, fields)];
  return { state: { ...credited, delivered }, effects };
}

/**
 * A first result that is not finite may be the worker's fault: the part is computed again, by
 * another worker if possible. A second result that is not finite means that the model has diverged.
 */
function nonFinite(
  state: RunState,
  task: Task,
  part: Part,
  { part: number, slot }: Verdict,
  now: number,
): Next {
  const asked = leaseOf(task, number, slot);
  if (asked === undefined || asked.state === 'refused') return duplicate(state);
  // A finite result from another worker shows that the model has not diverged.
  if (part.nonFinite > 0 && part.answers.length === 0) return end(state, diverged(task.step));
  const leases = part.leases.map((lease) =>
    lease === asked ? { ...lease, state: 'refused' as const } : lease,
  );
  const parts = new Map(task.parts).set(number, { ...part, leases, nonFinite: part.nonFinite + 1 });
  const isFirst =
    task.kind === 'step' && [...task.parts.values()].every((other) => other.nonFinite === 0);
  const counts = {
    ...state.counts,
    nonFinite: state.counts.nonFinite + 1,
    nonFiniteSteps: state.counts.nonFiniteSteps + (isFirst ? 1 : 0),
  };
  return recordFailure(
    { ...state, counts, task: { ...task, parts } },
    slot,
    'sent a result that is not finite; it is computed again',
    now,
  );
}

/** The number of rows in a subtree, without padding; 0 for an evaluation. */
function samplesOf(state: RunState, task: Task, part: number): number {
  if (task.kind !== 'step') return 0;
  const { virtualShards, rowsPerShard, samples } = planStep(
    state.settings.configuration,
    task.step,
  );
  const first = firstShard(part, virtualShards) * rowsPerShard;
  const end = first + shardCount(part, virtualShards) * rowsPerShard;
  return Math.max(0, Math.min(end, samples) - first);
}

function refuse(state: RunState, slot: number, what: string): Next {
  return {
    state,
    effects: [{ kind: 'close', slot, code: 'PROTOCOL', message: `this worker sent ${what}` }],
  };
}

function fenced(state: RunState): Next {
  return {
    state: { ...state, counts: { ...state.counts, fenced: state.counts.fenced + 1 } },
    effects: [],
  };
}

function duplicate(state: RunState): Next {
  return {
    state: { ...state, counts: { ...state.counts, duplicates: state.counts.duplicates + 1 } },
    effects: [],
  };
}
