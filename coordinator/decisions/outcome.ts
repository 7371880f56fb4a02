import { ClusterError, errorTable, isOrderedEnd, type ErrorCode } from '../../shared/errors.ts';
import type { Next, Outcome } from './effects.ts';
import type { RunState } from './state.ts';
import type { Task } from './task.ts';

/** The ways a run can end, with the messages for the user. */
export function finished(early: string | undefined): Outcome {
  return { state: 'finished', code: undefined, message: early ?? 'all steps are done' };
}

/** The error for an outcome, for the command that started the run. */
export function errorOf(code: ErrorCode, { message, fix }: Outcome): ClusterError {
  return new ClusterError(code, message, fix === undefined ? {} : { fix });
}

export function stopped(code: ErrorCode): Outcome {
  const state = isOrderedEnd(code) ? 'interrupted' : 'failed';
  return { state, code, message: errorTable[code].meaning };
}

export function diverged(step: number): Outcome {
  return {
    state: 'diverged',
    code: 'DIVERGED',
    message: `training diverged at step ${step}: the loss or a gradient is not finite`,
    fix: 'use a smaller --learning-rate, or check the data',
  };
}

export function tooFewWorkers(state: RunState, ready: number): Outcome {
  const { minWorkers, rendezvousMilliseconds } = state.settings;
  return {
    state: 'failed',
    code: 'RENDEZVOUS',
    message:
      `too few workers: ${ready} ready within ${rendezvousMilliseconds / 1000} s ` +
      `(--rdzv-timeout), at least ${minWorkers} needed (--min-workers)`,
    fix:
      'start workers with `mnist-dist worker --coordinator URL`, lower --min-workers, or raise ' +
      '--rdzv-timeout',
  };
}

export function undecided({ settings }: RunState, step: number): Outcome {
  return {
    state: 'failed',
    code: 'DISAGREEMENT',
    message:
      `workers disagree about step ${step}, and no other worker joined within ` +
      `${settings.rendezvousMilliseconds / 1000} s to decide (--rdzv-timeout)`,
    fix:
      'one of the workers is faulty: start a worker on another machine and resume the run ' +
      '(--resume)',
  };
}

/** Ends the run. The shell notifies the workers and closes all files and sockets. */
export function end(state: RunState, outcome: Outcome): Next {
  const delivered = withoutTask(state.delivered, state.task);
  return {
    state: { ...state, phase: 'ended', task: undefined, delivered },
    effects: [{ kind: 'end', outcome }],
  };
}

/** The delivered samples without those of the open task, which is dropped. */
export function withoutTask(
  delivered: RunState['delivered'],
  task: Task | undefined,
): RunState['delivered'] {
  const left = new Map(delivered);
  for (const { accepted } of task?.parts.values() ?? [])
    if (accepted !== undefined)
      left.set(accepted.name, (left.get(accepted.name) ?? 0) - accepted.samples);
  return left;
}

/**
 * Ends the run after the open step, or immediately if the run is waiting for workers, for a
 * decision or for the record of an evaluation, which waits while the disk is full. With STOPPED, it
 * ends after the open task: an evaluation that decided this still counts.
 */
export function stop(state: RunState, code: ErrorCode): Next {
  const { phase, task } = state;
  const isRecording = task !== undefined && task.kind !== 'step' && task.openParts === 0;
  const isWaiting = phase === 'gathering' || task?.undecidedSince !== undefined || isRecording;
  if (task === undefined || (isWaiting && code !== 'STOPPED')) return end(state, stopped(code));
  // SIGTERM and SIGHUP often arrive more than once, so only a second Ctrl-C stops a run
  // immediately.
  const again = code === 'INTERRUPTED' ? '; press Ctrl-C again to stop immediately' : '';
  const message = `stopping after step ${task.step}${again}`;
  const log = { kind: 'log', level: 'info', event: 'stopping', message, fields: { code } } as const;
  return { state: { ...state, stopping: code }, effects: [log] };
}

/** Ends a stopping run that has lost the workers of its open step. */
export function endIfAbandoned(state: RunState): Next {
  if (state.stopping === undefined || state.phase !== 'gathering') return { state, effects: [] };
  return end(state, stopped(state.stopping));
}
