import { CLOSE_LIMIT_MILLISECONDS, STOP_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { onSignal } from './signals.ts';

/** A process that was asked to stop. */
export interface Stopped {
  /** As it appears in a sentence. */
  readonly name: string;
  readonly kill: () => void;
  readonly say: (line: string) => void;
}

/** The end of a process that was asked to stop. */
export interface Ending {
  /** Whether the process was killed because it did not end on its own. */
  readonly isForced: boolean;
  /** Call this when the process has ended. */
  readonly ended: () => void;
}

/**
 * Makes sure that a process that was asked to stop ends, even if it is suspended or hangs. Says
 * which process it waits for if that takes long; from then on, another signal kills the process.
 * Earlier signals are left to `onStop`, since Slurm repeats SIGTERM. After a time limit that is
 * long enough for a step and a checkpoint on a slow disk, kills the process as well.
 */
export function endStopped({ name, kill, say }: Stopped): Ending {
  let isForced = false;
  let release = (): void => undefined;
  const force = (why: string): void => {
    if (isForced) return;
    isForced = true;
    say(`killing ${name}, ${why}`);
    kill();
  };
  const seconds = STOP_LIMIT_MILLISECONDS / 1000;
  const timers = [
    setTimeout(() => {
      say(
        `waiting for ${name} to end; another signal kills it, as does this process ` +
          `${seconds} s after the request to stop`,
      );
      release = onSignal(() => force('because of another signal'));
    }, CLOSE_LIMIT_MILLISECONDS),
    setTimeout(() => force(`which did not end within ${seconds} s`), STOP_LIMIT_MILLISECONDS),
  ];
  return {
    get isForced() {
      return isForced;
    },
    ended: () => {
      for (const timer of timers) clearTimeout(timer);
      release();
    },
  };
}
