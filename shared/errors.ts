import { z } from 'zod';

/**
 * The one table of what can go wrong: its code, the process's exit code, the WebSocket close code
 * with which the coordinator tells a worker (if it does), and whether dialling again can help.
 */
export const errorTable = {
  UNEXPECTED: { exit: 1, close: 4500, retry: false, meaning: 'A defect in mnist-dist itself.' },
  USAGE: {
    exit: 2,
    close: undefined,
    retry: false,
    meaning: 'A flag, variable or file holds an impossible value.',
  },
  NOT_READY: {
    exit: 34,
    close: undefined,
    retry: false,
    meaning: 'doctor: training cannot run here.',
  },
  SETUP: {
    exit: 10,
    close: undefined,
    retry: false,
    meaning: 'The set-up could not be completed.',
  },
  ENGINE: {
    exit: 11,
    close: undefined,
    retry: false,
    meaning: 'The engine that was asked for cannot run here.',
  },
  DATA: {
    exit: 12,
    close: 4412,
    retry: false,
    meaning: 'A dataset is missing, damaged or not the one of the run.',
  },
  RUN_EXISTS: {
    exit: 13,
    close: undefined,
    retry: false,
    meaning: 'The run directory exists already.',
  },
  LOCKED: {
    exit: 28,
    close: undefined,
    retry: false,
    meaning: 'Another coordinator is running this run.',
  },
  REPLAY: {
    exit: 29,
    close: 4429,
    retry: false,
    meaning: 'A step that was computed again differs from what was recorded.',
  },
  DISAGREEMENT: {
    exit: 30,
    close: 4431,
    retry: false,
    meaning: 'Workers computed different bytes for the same part of a step.',
  },
  DIFFERS: {
    exit: 35,
    close: undefined,
    retry: false,
    meaning: 'verify: what a run has recorded is not what it computes.',
  },
  IMAGE: {
    exit: 36,
    close: undefined,
    retry: false,
    meaning: 'predict: a file is no picture, or shows nothing.',
  },
  NOT_REPLAYABLE: {
    exit: 3,
    close: undefined,
    retry: false,
    meaning: 'verify: the run cannot be computed again here.',
  },
  BELOW: {
    exit: 32,
    close: undefined,
    retry: false,
    meaning: 'eval: the accuracy is below --fail-under.',
  },
  ADDRESS: {
    exit: 14,
    close: undefined,
    retry: false,
    meaning: 'The address to listen on is not available.',
  },
  RENDEZVOUS: {
    exit: 15,
    close: undefined,
    retry: false,
    meaning: 'Too few workers came within --rdzv-timeout.',
  },
  UNREACHABLE: {
    exit: 16,
    close: undefined,
    retry: true,
    meaning: 'No coordinator answered within --max-wait-time.',
  },
  UNAUTHORIZED: { exit: 17, close: 4401, retry: false, meaning: 'The token is missing or wrong.' },
  TLS: {
    exit: 33,
    close: undefined,
    retry: false,
    meaning: "The coordinator's certificate is not trusted, or not valid.",
  },
  VERSION: {
    exit: 18,
    close: 4418,
    retry: false,
    meaning: 'Protocol or arithmetic versions differ.',
  },
  FINGERPRINT: {
    exit: 19,
    close: 4419,
    retry: false,
    meaning: "The worker's engine computes other bytes than the run's.",
  },
  FULL: { exit: 20, close: 4420, retry: true, meaning: 'The run has all the workers it takes.' },
  PROTOCOL: {
    exit: 21,
    close: 4421,
    retry: false,
    meaning: 'A message broke the contract of the wire.',
  },
  TIMEOUT: { exit: 22, close: 4422, retry: true, meaning: 'A peer was silent for too long.' },
  LIMIT: { exit: 23, close: 4423, retry: false, meaning: 'A limit was exceeded.' },
  DIVERGED: {
    exit: 24,
    close: 4424,
    retry: false,
    meaning: 'The loss or a gradient is not finite.',
  },
  RUN_FAILED: {
    exit: 25,
    close: 4425,
    retry: false,
    meaning: 'The coordinator ended the run with an error.',
  },
  STORE: {
    exit: 31,
    close: undefined,
    retry: false,
    meaning: 'The store of artifacts could not be reached, read or written.',
  },
  DISK: {
    exit: 26,
    close: undefined,
    retry: false,
    meaning: 'A file of the run could not be written.',
  },
  SUPERSEDED: {
    exit: 27,
    close: 4427,
    retry: true,
    meaning: 'A newer connection of the same worker took over.',
  },
  HUNG_UP: {
    exit: 129,
    close: 4444,
    retry: false,
    meaning: 'Ended by SIGHUP (the terminal was closed).',
  },
  INTERRUPTED: { exit: 130, close: 4430, retry: false, meaning: 'Ended by SIGINT (Ctrl-C).' },
  TERMINATED: {
    exit: 143,
    close: 4443,
    retry: false,
    meaning: 'Ended by SIGTERM, or because the process that started it had ended.',
  },
} as const satisfies Record<
  string,
  { exit: number; close: number | undefined; retry: boolean; meaning: string }
>;

export type ErrorCode = keyof typeof errorTable;

/** A signal asked the process, or the process it belongs to, to end: nothing failed. */
export function isOrderedEnd(code: ErrorCode): boolean {
  return code === 'HUNG_UP' || code === 'INTERRUPTED' || code === 'TERMINATED';
}

/** The table's code for an exit code, if the table has it; each exit code is one error's. */
export function errorCodeOfExit(exit: number): ErrorCode | undefined {
  return errorCodes.find((code) => errorTable[code].exit === exit);
}

/** The close code that says "the run is complete". */
export const CLOSE_FINISHED = 4000;

/**
 * An error a user can act on. `message` names the value and what is wrong with it; `fix` says what
 * is allowed or what to do, and is printed on a line of its own.
 */
export class ClusterError extends Error {
  override readonly name = 'ClusterError';
  readonly code: ErrorCode;
  readonly fix: string | undefined;

  constructor(code: ErrorCode, message: string, options: { fix?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.fix = options.fix;
  }

  get exitCode(): number {
    return errorTable[this.code].exit;
  }
}

/** What a schema has against a value, on one line. */
export function issuesOf(error: z.ZodError): string {
  return z.prettifyError(error).replaceAll(/\s+/g, ' ');
}

/** The table's code for a WebSocket close code, if the table has it. */
export function errorCodeOfClose(close: number): ErrorCode | undefined {
  return errorCodes.find((code) => errorTable[code].close === close);
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorTable, text);
}

export const errorCodes: readonly ErrorCode[] = Object.keys(errorTable).filter(isErrorCode);

/** For a switch that the compiler has proven exhaustive. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

/** An invariant of our own code: its failure is a defect, never a peer's fault. */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${what}`);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
