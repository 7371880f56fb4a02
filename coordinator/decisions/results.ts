import { planStep } from '../../shared/arithmetic/schedule.ts';
import { firstShard, shardCount } from '../../shared/arithmetic/tree.ts';
import type { ResultMessage } from '../../shared/wire/messages.ts';
import { andThen, close, type Effect, log, type Next } from './effects.ts';
import type { Verdict } from './events.ts';
import { type RunState, withWorker, type WorkerState } from './state.ts';
import type { Accepted, Answer, Part, Task } from './task.ts';
import { leaseOf, remember, workOf } from './leases.ts';
import { diverged, end } from './outcome.ts';
import { takeSum } from './reduce.ts';
import { blame, commend } from './worker-trust.ts';
import {
  accuse,
  contest,
  contradictItself,
  earlierOf,
  isAlike,
  reportLate,
  settle,
  supportOf,
  withAnswer,
} from './votes.ts';

/**
 * A result arrives. What belongs to another run, term or step is dropped; what nobody asked this
 * worker for ends its connection; only for the rest does the shell touch the body. `claimed` is the
 * body's checksum as the worker says it.
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
  const kind = message.kind === 'gradient' ? 'step' : 'evaluation';
  const isCurrent = message.run === settings.run && message.term === settings.term;
  if (!isCurrent) return fenced(state);
  if (task === undefined || task.kind !== kind || task.step !== message.step)
    return takeLate(state, worker, message, claimed);
  const part = task.parts.get(number);
  if (part === undefined || leaseOf(task, number, slot) === undefined)
    return refuse(state, slot, `a result for part ${number}, which it holds no lease on`);
  const correct = message.kind === 'gradient' ? message.correct : 0;
  if (part.accepted !== undefined && kind === 'evaluation') return duplicate(state);
  const said = { checksum: claimed ?? 0n, correct };
  if (part.accepted !== undefined && isAlike(part.accepted, said)) return duplicate(state);
  const earlier = earlierOf(part, worker.session);
  const isKnown = earlier?.digest !== undefined && isAlike(earlier, said);
  // Where two have said the same already, the part was taken back with its neighbour, and its body
  // is what is missing.
  if (part.quorum === 2 && isKnown && supportOf(part, earlier) < part.quorum) {
    // Asked once more, it stays with what it said: no second body is needed for that.
    const parts = new Map(task.parts).set(number, withAnswer(part, earlier));
    return duplicate({ ...state, task: { ...task, parts } });
  }
  if (correct > samplesOf(state, task, number))
    return refuse(state, slot, `${correct} correct rows, more than its shards hold`);
  const isDigested = part.quorum === 2 || part.accepted !== undefined;
  return {
    state,
    effects: [
      { kind: 'receive', task: kind, part: number, slot, correct, microseconds, isDigested },
    ],
  };
}

/** Of a step that is done: compared with what was accepted then, if that is still known. */
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
  const earlier = earlierOf(task.parts.get(part) ?? { answers: [], accepted }, worker.session);
  if (earlier !== undefined && !isAlike(earlier, answer))
    return contradictItself(late.state, task, part, answer);
  const known = earlier === undefined ? rememberLate(late.state, task, part, answer) : late.state;
  return isAlike(accepted, answer) ? duplicate(known) : reportLate(known, task, part, worker);
}

/** Another word of the same connection is compared with this one. */
function rememberLate(state: RunState, task: Task, number: number, answer: Answer): RunState {
  const closed = state.closed.map((done) => {
    const part = done === task ? done.parts.get(number) : undefined;
    if (part === undefined) return done;
    return { ...done, parts: new Map(done.parts).set(number, withAnswer(part, answer)) };
  });
  return { ...state, closed };
}

/**
 * The shell has received and checked a result: the first good one of a part is taken in, exactly
 * once.
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
      'a result of this worker was replaced before it was read',
    );
  if (!verdict.intact) return refuse(state, verdict.slot, 'a body whose checksum does not match');
  const answer = answerOf(worker, verdict);
  const earlier = earlierOf(part, worker.session);
  if (verdict.finite && earlier !== undefined && !isAlike(earlier, answer))
    return contradictItself(state, task, number, answer);
  if (part.accepted !== undefined)
    return differ(state, task, part.accepted, worker, verdict, answer);
  if (!verdict.finite) return nonFinite(state, task, part, verdict, now);
  if (part.quorum === 1) return accept(state, task, part, verdict, answer, now);

  const answered = withAnswer(part, answer);
  const asked = { ...task, parts: new Map(task.parts).set(number, answered) };
  if (supportOf(answered, answer) < part.quorum)
    return { state: { ...credit(state, task, verdict, 0, now).state, task: asked }, effects: [] };
  return andThen(settle(state, task, number, answered, answer), (s) =>
    accept(s, asked, answered, verdict, answer, now),
  );
}

/** A second result, of another worker than the one whose result counts. */
function differ(
  state: RunState,
  task: Task,
  accepted: Accepted,
  worker: WorkerState,
  verdict: Verdict,
  answer: Answer,
): Next {
  const { part: number, slot, finite } = verdict;
  if (isAlike(accepted, answer) || !finite || state.mixed) return duplicate(state);
  if (task.parts.get(number)?.quorum === 2)
    return accuse(state, task.step, number, slot, 'two others contradict');
  // Where the sum is complete, Adam has it, or waits for a free frame.
  if (task.openParts === 0) return reportLate(state, task, number, worker);
  return contest(state, task, number, accepted, answer);
}

/** The result at hand is the part's. */
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
  if (task.kind === 'evaluation') {
    const effects: Effect[] =
      taken.openParts === 0 ? [effect, { kind: 'evaluate', step: task.step }] : [effect];
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

/** Speed and good standing of the worker that delivered, and the samples that count as its own. */
function credit(state: RunState, task: Task, verdict: Verdict, samples: number, now: number): Next {
  const worker = state.workers.get(verdict.slot);
  const lease = leaseOf(task, verdict.part, verdict.slot);
  if (worker === undefined || lease === undefined) return { state, effects: [] };
  const { virtualShards } = state.settings.configuration;
  const work = workOf(task.kind, verdict.part, virtualShards);
  const times = remember(state.times, task.kind, (now - lease.granted) / work);
  const commended = commend(worker, task.kind, verdict, virtualShards, now);
  if (samples === 0) return { state: withWorker({ ...state, times }, commended), effects: [] };
  const credited = withWorker({ ...state, times }, { ...commended, hasDelivered: true });
  const { name, hasDelivered } = worker;
  const delivered = new Map(state.delivered).set(name, (state.delivered.get(name) ?? 0) + samples);
  const fields = { worker: name, step: task.step };
  const effects = hasDelivered
    ? []
    : [log('first_shard', `${name} delivered its first shard`, fields)];
  return { state: { ...credited, delivered }, effects };
}

/**
 * Once may be the worker's fault, so it is computed again, elsewhere if possible; twice is the
 * model's.
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
  // Where another worker's is finite, it is not the model's fault.
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
  return blame(
    { ...state, counts, task: { ...task, parts } },
    slot,
    'sent a result that is not finite; it is computed once more',
    now,
  );
}

/** Real rows of a subtree, padding not counted. */
function samplesOf(state: RunState, task: Task, part: number): number {
  if (task.kind === 'evaluation') return 0;
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
