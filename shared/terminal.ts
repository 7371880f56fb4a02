import { closeSync, fstatSync } from 'node:fs';
import { isatty } from 'node:tty';

/**
 * Whether this process began with a terminal among its streams: under nohup, a service manager or a scheduler it has none. Asked at
 * once, since isatty does not know a terminal that was closed.
 */
export const hasTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));

/** For the end of a process: Node aborts where it cannot restore the settings of a terminal, as of one that was closed. */
export function leaveClosedTerminals(): void {
  for (const descriptor of [0, 1, 2]) if (isClosedTerminal(descriptor)) closeSync(descriptor);
}

/** Also true of /dev/null, which nothing is lost without. */
function isClosedTerminal(descriptor: number): boolean {
  try {
    return !isatty(descriptor) && fstatSync(descriptor).isCharacterDevice();
  } catch {
    return false;
  }
}
