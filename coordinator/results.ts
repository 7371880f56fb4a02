import { planStep } from '../shared/schedule.ts';
import { firstShard, shardCount } from '../shared/tree.ts';
import type { ResultMessage } from '../shared/messages.ts';
import { log } from './effects.ts';
import { leaseOf, remember, workOf } from './leases.ts';
import { diverged, end } from './outcome.ts';
import { takeSum } from './reduce.ts';
import { blame, commend } from './standing.ts';
import {
  withWorker,
  type Effect,
  type Next,
  type Part,
  type RunState,
  type Task,
  type Verdict,
} from './state.ts';

/**
 * A result arrives. What belongs to another run, term or step is dropped; what nobody asked this worker for ends its
 * connection; only for the rest does the shell touch the body.
 */
export function takeResult(state: RunState, slot: number, message: ResultMessage): Next {
  const { task, settings } = state;
  const { part, microseconds } = message;
  const kind = message.kind === 'gradient' ? 'step' : 'evaluation';
  const isCurrent = message.run === settings.run && message.term === settings.term;
  if (!isCurrent || task === undefined || task.kind !== kind || task.step !== message.step)
    return fenced(state);
  if (leaseOf(task, part, slot) === undefined)
    return refuse(state, slot, `a result for part ${part}, which it holds no lease on`);
  if (task.parts.get(part)?.accepted === true) return duplicate(state);
  const correct = message.kind === 'gradient' ? message.correct : 0;
  if (correct > samplesOf(state, task, part))
    return refuse(state, slot, `${correct} correct rows, more than its shards hold`);
  return { state, effects: [{ kind: 'receive', task: kind, part, slot, correct, microseconds }] };
}

/** The shell has received and checked a result: the first good one of a part is taken in, exactly once. */
export function acceptResult(state: RunState, verdict: Verdict, now: number): Next {
  const { task } = state;
  const part = task?.parts.get(verdict.part);
  if (task === undefined || part === undefined || part.accepted) return duplicate(state);
  if (!verdict.intact) return refuse(state, verdict.slot, 'a body whose checksum does not match');
  if (!verdict.finite) return nonFinite(state, task, part, verdict, now);

  const parts = new Map(task.parts).set(verdict.part, { ...part, accepted: true });
  const taken: Task = {
    ...task,
    parts,
    openParts: task.openParts - 1,
    correct: task.correct + verdict.correct,
  };
  const accept: Effect = { kind: 'accept', task: task.kind, part: verdict.part };
  const credited = credit(state, task, verdict, now);
  if (task.kind === 'evaluation') {
    const final = task.step === state.settings.totalSteps;
    const effects: Effect[] =
      taken.openParts === 0 ? [accept, { kind: 'evaluate', step: task.step, final }] : [accept];
    return { state: { ...credited.state, task: taken }, effects: [...credited.effects, ...effects] };
  }
  const { virtualShards, realShards } = planStep(state.settings.configuration, task.step);
  const { sums, effects, complete } = takeSum(task, verdict.part, virtualShards, realShards);
  const update: Effect[] = complete ? [{ kind: 'update', step: task.step, correct: taken.correct }] : [];
  return {
    state: { ...credited.state, task: { ...taken, sums } },
    effects: [...credited.effects, accept, ...effects, ...update],
  };
}

/** Speed, samples and good standing of the worker that delivered. */
function credit(state: RunState, task: Task, verdict: Verdict, now: number): Next {
  const worker = state.workers.get(verdict.slot);
  const lease = leaseOf(task, verdict.part, verdict.slot);
  if (worker === undefined || lease === undefined) return { state, effects: [] };
  const work = workOf(task.kind, verdict.part, state.settings.configuration.virtualShards);
  const times = remember(state.times, task.kind, (now - lease.granted) / work);
  const { virtualShards } = state.settings.configuration;
  const commended = commend(worker, task.kind, verdict, virtualShards, now);
  const punctual = withWorker({ ...state, times }, commended);
  if (task.kind === 'evaluation') return { state: punctual, effects: [] };
  const before = state.delivered.get(worker.name);
  const delivered = new Map(state.delivered).set(
    worker.name,
    (before ?? 0) + samplesOf(state, task, verdict.part),
  );
  const effects: Effect[] = [];
  if (before === undefined) {
    const fields = { worker: worker.name, step: task.step };
    effects.push(log('first_shard', `${worker.name} delivered its first shard`, fields));
  }
  return { state: { ...punctual, delivered }, effects };
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
