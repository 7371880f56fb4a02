import { ClusterError, type ErrorCode } from '../../shared/errors.ts';
import { ORPHAN_LIMIT_MILLISECONDS, SAME_INTERRUPT_MILLISECONDS } from '../../shared/limits.ts';
import { say } from '../terminal/explain.ts';
import { isSupervised, onSignal, type Ending } from './signals.ts';
import type { FromChild, ToChild } from './supervisor-messages.ts';

/**
 * Calls `stop` once, on a signal or a stop message from the supervisor. A second Ctrl-C or message
 * ends the process immediately. Repeated SIGTERM and SIGHUP are ignored: Slurm sends SIGTERM to all
 * processes of a job more than once, and a closing terminal repeats SIGHUP. Returns a function that
 * removes the listeners.
 */
export function onStop(stop: (code: ErrorCode) => void): () => void {
  const requests = new StopRequests(stop, (code) =>
    process.exit(new ClusterError(code, 'stopped twice').exitCode),
  );
  const release = onSignal((ending) => requests.signal(ending, performance.now()));
  const removeSupervisor = isSupervised() ? onSupervisor(requests) : () => undefined;
  return () => {
    release();
    removeSupervisor();
  };
}

/** Decides which request to stop stops this process, and which ends it immediately. */
export class StopRequests {
  isStopping = false;
  readonly #stop: (code: ErrorCode) => void;
  readonly #end: (code: ErrorCode) => void;
  /** When the first SIGINT arrived, or -Infinity after a message. */
  #asked: number | undefined;

  constructor(stop: (code: ErrorCode) => void, end: (code: ErrorCode) => void) {
    this.#stop = stop;
    this.#end = end;
  }

  /**
   * `timeout` and some job managers signal a process and then its group, so a second SIGINT shortly
   * after the first is the same request. `now` is in milliseconds.
   */
  signal(ending: Ending, now: number): void {
    if (ending !== 'INTERRUPTED') return this.#stopOnce(ending);
    if (this.#asked !== undefined && now - this.#asked < SAME_INTERRUPT_MILLISECONDS) return;
    this.#ask(ending, now);
  }

  message(code: ErrorCode): void {
    this.#ask(code, -Infinity);
  }

  #ask(code: ErrorCode, now: number): void {
    if (this.#asked !== undefined) return this.#end(code);
    this.#asked = now;
    this.#stopOnce(code);
  }

  #stopOnce(code: ErrorCode): void {
    if (this.isStopping) return;
    this.isStopping = true;
    this.#stop(code);
  }
}

/** Takes stop messages from the supervisor, and stops when the supervisor has ended. */
function onSupervisor(requests: StopRequests): () => void {
  // The channel must not keep this process alive once its work is done.
  process.channel?.unref();
  const onMessage = (message: unknown): void =>
    void takeOrder(message, (order) => {
      if (order.kind === 'stop') requests.message(order.code);
    });
  const onOrphaned = (): void => {
    if (!requests.isStopping) {
      say(process.argv, 'info', {}, "this process's supervisor has ended; stopping");
      requests.message('TERMINATED');
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
  if (!isSupervised()) return;
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
  if (isSupervised() && process.connected) process.send?.(message, () => undefined);
}
