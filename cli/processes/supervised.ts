import { ClusterError, type ErrorCode } from '../../shared/errors.ts';
import { ORPHAN_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { say } from '../terminal/explain.ts';
import { isSupervised, onSignal } from './signals.ts';
import type { FromChild, ToChild } from './supervisor-messages.ts';

/**
 * Calls `stop` once, on a signal or a stop message from the supervisor. A second Ctrl-C or message
 * ends the process immediately. Repeated SIGTERM and SIGHUP are ignored: Slurm sends SIGTERM to all
 * processes of a job more than once, and a closing terminal repeats SIGHUP. Returns a function that
 * removes the listeners.
 */
export function onStop(stop: (code: ErrorCode) => void): () => void {
  let stopping = false;
  let wasAsked = false;
  const stopOnce = (code: ErrorCode): void => {
    if (stopping) return;
    stopping = true;
    stop(code);
  };
  const handle = (code: ErrorCode): void => {
    if (wasAsked) process.exit(new ClusterError(code, 'stopped twice').exitCode);
    wasAsked = true;
    stopOnce(code);
  };
  const release = onSignal((ending) =>
    ending === 'INTERRUPTED' ? handle(ending) : stopOnce(ending),
  );
  const removeSupervisor = isSupervised() ? onSupervisor(handle, () => stopping) : () => undefined;
  return () => {
    release();
    removeSupervisor();
  };
}

/** Calls `handle` on a stop message from the supervisor, and when the supervisor has ended. */
function onSupervisor(handle: (code: ErrorCode) => void, isStopping: () => boolean): () => void {
  // The channel must not keep this process alive once its work is done.
  process.channel?.unref();
  const onMessage = (message: unknown): void =>
    void takeOrder(message, (order) => {
      if (order.kind === 'stop') handle(order.code);
    });
  const onOrphaned = (): void => {
    if (!isStopping()) {
      say(process.argv, 'info', {}, "this process's supervisor has ended; stopping");
      handle('TERMINATED');
    }
    setTimeout(
      () => process.exit(new ClusterError('TERMINATED', '').exitCode),
      ORPHAN_LIMIT_MILLISECONDS / 2,
    ).unref();
  };
  process.on('message', onMessage);
  // A supervisor may have died while this process was loading.
  if (process.connected) process.once('disconnect', onOrphaned);
  else onOrphaned();
  return () => process.off('message', onMessage).off('disconnect', onOrphaned);
}

/** Calls `listener` with the number of workers that the supervisor expects to join. */
export function onExpect(listener: (workers: number) => void): void {
  process.on(
    'message',
    (message) =>
      void takeOrder(message, (order) => {
        if (order.kind === 'expect') listener(order.workers);
      }),
  );
}

/** Parses a message from the supervisor. The schemas load when the first one arrives. */
async function takeOrder(message: unknown, take: (order: ToChild) => void): Promise<void> {
  const { toChild } = await import('./supervisor-messages.ts');
  const { data } = toChild.safeParse(message);
  if (data !== undefined) take(data);
}

/** A request to stop, which may arrive before its listener exists. */
export class StopRequest {
  #code: ErrorCode | undefined;
  #listener: ((code: ErrorCode) => void) | undefined;

  get code(): ErrorCode | undefined {
    return this.#code;
  }

  stop(code: ErrorCode): void {
    this.#code = code;
    this.#listener?.(code);
  }

  listen(listener: (code: ErrorCode) => void): void {
    this.#listener = listener;
    if (this.#code !== undefined) listener(this.#code);
  }
}

/** Sends a message to the supervisor, if there is one. */
export function tell(message: FromChild): void {
  // The message is lost if the supervisor has ended; `disconnect` then ends this process.
  if (process.connected) process.send?.(message, () => undefined);
}
