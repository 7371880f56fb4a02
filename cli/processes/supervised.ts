import { z } from 'zod';
import { ClusterError, errorCodes, type ErrorCode } from '../../shared/errors.ts';
import { ORPHAN_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { say } from '../terminal/explain.ts';
import { isSupervised, onSignal } from './signals.ts';

/** What `local` and its children say to each other over the channel between their processes. */
export const toChild = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('stop'), code: z.enum(errorCodes) }),
  /** To a coordinator: no more than so many workers are going to come before the first step. */
  z.strictObject({ kind: z.literal('expect'), workers: z.int() }),
]);
export const fromChild = z.discriminatedUnion('kind', [
  /** It can do what it is there for: a coordinator listens, a worker has its engine. */
  z.strictObject({ kind: z.literal('ready') }),
  /** Training has begun. */
  z.strictObject({ kind: z.literal('started') }),
  /** The live page is at this port. */
  z.strictObject({ kind: z.literal('page'), port: z.int() }),
]);
export type ToChild = z.infer<typeof toChild>;
export type FromChild = z.infer<typeof fromChild>;

/**
 * Calls `stop` once, on a signal or the supervisor's word, and ends the process at once on the
 * second Ctrl-C or word. Programs send SIGTERM, often to all processes of a job and more than once
 * (Slurm does, when it makes room), and kill what is too slow for them. A terminal that is closed
 * sends SIGHUP more than once, too. Returns how to take it back, once there is nothing left to
 * stop.
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
  const deafen = isSupervised() ? onWord(handle, () => stopping) : () => undefined;
  return () => {
    release();
    deafen();
  };
}

/** The same for the word of a supervisor, and for its end. */
function onWord(handle: (code: ErrorCode) => void, isStopping: () => boolean): () => void {
  // The channel alone must not keep a process alive whose work is done.
  process.channel?.unref();
  const heard = (message: unknown): void => {
    const order = toChild.safeParse(message);
    if (order.data?.kind === 'stop') handle(order.data.code);
  };
  const orphaned = (): void => {
    if (!isStopping()) {
      say(process.argv, 'info', {}, 'the process that started this one has ended; it ends, too');
      handle('TERMINATED');
    }
    setTimeout(
      () => process.exit(new ClusterError('TERMINATED', '').exitCode),
      ORPHAN_LIMIT_MILLISECONDS / 2,
    ).unref();
  };
  process.on('message', heard);
  // A supervisor that died while this process was loading is not announced again.
  if (process.connected) process.once('disconnect', orphaned);
  else orphaned();
  return () => process.off('message', heard).off('disconnect', orphaned);
}

/** Calls this when the supervisor knows how many workers are going to come. */
export function onExpect(listener: (workers: number) => void): void {
  process.on('message', (message) => {
    const order = toChild.safeParse(message);
    if (order.data?.kind === 'expect') listener(order.data.workers);
  });
}

/** The word to stop, which may come before there is anybody to pass it to. */
export class Stopping {
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

/** Tells the supervisor, if there is one. */
export function tell(message: FromChild): void {
  // A supervisor that is gone need not know; `disconnect` ends this process.
  if (process.connected) process.send?.(message, () => undefined);
}
