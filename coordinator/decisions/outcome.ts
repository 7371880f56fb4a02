import { ClusterError, errorTable, isOrderedEnd, type ErrorCode } from '../../shared/errors.ts';
import type { Next, Outcome } from './effects.ts';
import type { RunState } from './state.ts';
import type { Task } from './task.ts';

/** How a run can end, in the words its user reads. */
export const finished: Outcome = {
  state: 'finished',
  code: undefined,
  message: 'all steps are done',
};

/** As its user is told who asked for it, where it ended with this code. */
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
    fix: 'use a smaller --learning-rate, or look at the data',
  };
}

export function tooFewWorkers(state: RunState, ready: number): Outcome {
  const { minWorkers, rendezvousMilliseconds } = state.settings;
  return {
    state: 'failed',
    code: 'RENDEZVOUS',
    message: `${ready} of at least ${minWorkers} workers were ready within ${rendezvousMilliseconds / 1000} s (--rdzv-timeout)`,
    fix: 'start workers with `mnist-dist worker --coordinator URL`, lower --min-workers, or raise --rdzv-timeout',
  };
}

export function undecided({ settings }: RunState, step: number): Outcome {
  return {
    state: 'failed',
    code: 'DISAGREEMENT',
    message: `workers differ about step ${step}, and no other worker came within ${settings.rendezvousMilliseconds / 1000} s to decide (--rdzv-timeout)`,
    fix: 'one of these workers is defective, or lies: start one on another machine and resume the run (--resume)',
  };
}

/** Everybody is told by the shell, which closes all files and sockets. */
export function end(state: RunState, outcome: Outcome): Next {
  const delivered = withoutTask(state.delivered, state.task);
  return {
    state: { ...state, phase: 'ended', task: undefined, delivered },
    effects: [{ kind: 'end', outcome }],
  };
}

/** What counts for steps that are done; nothing comes of the one that is open. */
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
 * Ends the run: at once while no worker computes or no majority can decide, else after the open
 * step.
 */
export function stop(state: RunState, code: ErrorCode): Next {
  const isWaiting = state.phase === 'gathering' || state.task?.undecidedSince !== undefined;
  if (state.task === undefined || isWaiting) return end(state, stopped(code));
  // SIGTERM and SIGHUP often come more than once, so that only Ctrl-C ends a run at once.
  const again = code === 'INTERRUPTED' ? '; press Ctrl-C again to stop at once' : '';
  const message = `stopping after step ${state.task.step}${again}`;
  const log = { kind: 'log', level: 'info', event: 'stopping', message, fields: { code } } as const;
  return { state: { ...state, stopping: code }, effects: [log] };
}

/** A run that was to end after its step does not wait for a worker to finish that step. */
export function endIfAbandoned(state: RunState): Next {
  if (state.stopping === undefined || state.phase !== 'gathering') return { state, effects: [] };
  return end(state, stopped(state.stopping));
}
