import { planStep } from '../shared/schedule.ts';
import { firstShard, shardCount } from '../shared/tree.ts';
import type { ResultMessage } from '../shared/messages.ts';
import { log } from './effects.ts';
import { leaseOf, remember, workOf } from './leases.ts';
import { diverged, end } from './outcome.ts';
import { takeSum } from './reduce.ts';
import { blame, commend } from './standing.ts';
import {
  andThen,
  withWorker,
  type Accepted,
  type Effect,
  type Next,
  type Part,
  type RunState,
  type Task,
  type Verdict,
  type Vote,
  type WorkerState,
} from './state.ts';
import { accuse, agrees, cast, reopen, reportLate, settle } from './votes.ts';

/**
 * A result arrives. What belongs to another run, term or step is dropped; what nobody asked this worker for ends its
 * connection; only for the rest does the shell touch the body. `claimed` is the body's checksum as the worker says it.
 */
export function takeResult(
  state: RunState,
  slot: number,
  message: ResultMessage,
  claimed: bigint | undefined,
): Next {
  const { task, settings } = state;
  const { part, microseconds } = message;
  const kind = message.kind === 'gradient' ? 'step' : 'evaluation';
  const isCurrent = message.run === settings.run && message.term === settings.term;
  if (!isCurrent) return fenced(state);
  if (task === undefined || task.kind !== kind || task.step !== message.step)
    return takeLate(state, slot, message, claimed);
  if (leaseOf(task, part, slot) === undefined)
    return refuse(state, slot, `a result for part ${part}, which it holds no lease on`);
  const accepted = task.parts.get(part)?.accepted;
  const correct = message.kind === 'gradient' ? message.correct : 0;
  const isSame =
    accepted !== undefined && claimed !== undefined && agrees(accepted, { checksum: claimed, correct });
  if (isSame || (accepted !== undefined && kind === 'evaluation')) return duplicate(state);
  if (correct > samplesOf(state, task, part))
    return refuse(state, slot, `${correct} correct rows, more than its shards hold`);
  return { state, effects: [{ kind: 'receive', task: kind, part, slot, correct, microseconds }] };
}

/** Of a step that is done: compared with what was accepted then, if that is still known. */
function takeLate(state: RunState, slot: number, message: ResultMessage, claimed: bigint | undefined): Next {
  if (message.kind !== 'gradient' || claimed === undefined) return fenced(state);
  const { step, part, correct } = message;
  const worker = state.workers.get(slot);
  const task = state.closed.findLast((closed) => closed.step === step);
  const accepted = task?.parts.get(part)?.accepted;
  if (worker === undefined || task === undefined || accepted === undefined) return fenced(state);
  if (worker.since >= step || leaseOf(task, part, slot) === undefined) return fenced(state);
  const vote = voteOf(worker, claimed, correct);
  const counted = fenced(state).state;
  return agrees(vote, accepted) ? duplicate(counted) : reportLate(counted, task, part, vote);
}

/** The shell has received and checked a result: the first good one of a part is taken in, exactly once. */
export function acceptResult(state: RunState, verdict: Verdict, now: number): Next {
  const { task } = state;
  const number = verdict.part;
  const part = task?.parts.get(number);
  const worker = state.workers.get(verdict.slot);
  if (task === undefined || part === undefined || worker === undefined) return duplicate(state);
  if (!verdict.intact) return refuse(state, verdict.slot, 'a body whose checksum does not match');
  const vote = voteOf(worker, verdict.checksum, verdict.correct);
  if (part.accepted !== undefined) return differ(state, task, part, part.accepted, verdict, vote);
  if (!verdict.finite) return nonFinite(state, task, part, verdict, now);
  if (part.quorum === 1) return accept(state, task, part, verdict, vote, now);

  const { part: voted, isDecided } = cast(part, vote);
  const asked = { ...task, parts: new Map(task.parts).set(number, voted) };
  if (!isDecided)
    return { state: { ...credit(state, task, verdict, 0, now).state, task: asked }, effects: [] };
  return andThen(settle(state, task, number, voted, vote), (s) =>
    accept(s, asked, voted, verdict, vote, now),
  );
}

/** A second result while the task is open, and another one than was accepted. */
function differ(
  state: RunState,
  task: Task,
  part: Part,
  accepted: Accepted,
  verdict: Verdict,
  vote: Vote,
): Next {
  if (agrees(accepted, vote) || task.kind === 'evaluation' || !verdict.finite || state.mixed)
    return duplicate(state);
  if (part.quorum === 2) return accuse(state, task.step, verdict.part, vote);
  // Where the sum is complete, Adam has it, or waits for a free frame. And nobody may keep a step open by changing its mind.
  if (task.openParts === 0 || part.wasReopened) return reportLate(state, task, verdict.part, vote);
  return reopen(state, task, verdict.part, vote);
}

/** The result at hand is the part's. */
function accept(state: RunState, task: Task, part: Part, verdict: Verdict, vote: Vote, now: number): Next {
  const samples = samplesOf(state, task, verdict.part);
  const accepted: Accepted = { ...vote, samples };
  const taken: Task = {
    ...task,
    parts: new Map(task.parts).set(verdict.part, { ...part, accepted }),
    openParts: task.openParts - 1,
    correct: task.correct + verdict.correct,
  };
  const effect: Effect = { kind: 'accept', task: task.kind, part: verdict.part };
  const credited = credit(state, task, verdict, samples, now);
  if (task.kind === 'evaluation') {
    const final = task.step === state.settings.totalSteps;
    const effects: Effect[] =
      taken.openParts === 0 ? [effect, { kind: 'evaluate', step: task.step, final }] : [effect];
    return { state: { ...credited.state, task: taken }, effects: [...credited.effects, ...effects] };
  }
  const { virtualShards, realShards } = planStep(state.settings.configuration, task.step);
  const { sums, effects, complete } = takeSum(task, verdict.part, virtualShards, realShards);
  const update: Effect[] = complete ? [{ kind: 'update', step: task.step, correct: taken.correct }] : [];
  return {
    state: { ...credited.state, task: { ...taken, sums } },
    effects: [...credited.effects, effect, ...effects, ...update],
  };
}

function voteOf({ slot, session, name }: WorkerState, checksum: bigint, correct: number): Vote {
  return { slot, session, name, checksum, correct };
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
  const effects = hasDelivered ? [] : [log('first_shard', `${name} delivered its first shard`, fields)];
  return { state: { ...credited, delivered }, effects };
}

/** Once may be the worker's fault, so it is computed again, elsewhere if possible; twice is the model's. */
function nonFinite(
  state: RunState,
  task: Task,
  part: Part,
  { part: number, slot }: Verdict,
  now: number,
): Next {
  const asked = leaseOf(task, number, slot);
  if (asked === undefined || asked.state === 'refused') return duplicate(state);
  if (part.nonFinite > 0) return end(state, diverged(task.step));
  const leases = part.leases.map((lease) =>
    lease === asked ? { ...lease, state: 'refused' as const } : lease,
  );
  const parts = new Map(task.parts).set(number, { ...part, leases, nonFinite: 1 });
  return blame(
    { ...state, task: { ...task, parts } },
    slot,
    'sent a result that is not finite; it is computed once more',
    now,
  );
}

/** Real rows of a subtree, padding not counted. */
function samplesOf(state: RunState, task: Task, part: number): number {
  if (task.kind === 'evaluation') return 0;
  const { virtualShards, rowsPerShard, samples } = planStep(state.settings.configuration, task.step);
  const first = firstShard(part, virtualShards) * rowsPerShard;
  const end = first + shardCount(part, virtualShards) * rowsPerShard;
  return Math.max(0, Math.min(end, samples) - first);
}

function refuse(state: RunState, slot: number, what: string): Next {
  return { state, effects: [{ kind: 'close', slot, code: 'PROTOCOL', message: `this worker sent ${what}` }] };
}

function fenced(state: RunState): Next {
  return { state: { ...state, counts: { ...state.counts, fenced: state.counts.fenced + 1 } }, effects: [] };
}

function duplicate(state: RunState): Next {
  return {
    state: { ...state, counts: { ...state.counts, duplicates: state.counts.duplicates + 1 } },
    effects: [],
  };
}
