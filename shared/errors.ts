/**
 * Every error code, each with one meaning:
 *
 * - `exit`: the exit code of a process that fails with this error
 * - `close`: the WebSocket close code with which a coordinator or a worker reports the error to its
 *   peer, if any
 * - `retry`: whether a worker may dial again
 * - `meaning`: one sentence for --help and the documentation
 */
export const errorTable = {
  UNEXPECTED: { exit: 1, close: 4500, retry: false, meaning: 'A bug in mnist-dist.' },
  USAGE: {
    exit: 2,
    close: undefined,
    retry: false,
    meaning: 'An option, environment variable or configuration file has an invalid value.',
  },
  NOT_READY: {
    exit: 34,
    close: undefined,
    retry: false,
    meaning: 'doctor: this machine cannot train.',
  },
  SETUP: {
    exit: 10,
    close: undefined,
    retry: false,
    meaning: 'Setting up the engine failed.',
  },
  ENGINE: {
    exit: 11,
    close: undefined,
    retry: false,
    meaning: 'The requested engine or device cannot run on this machine.',
  },
  DATA: {
    exit: 12,
    close: 4412,
    retry: false,
    meaning: 'A dataset, model or run file is missing, damaged or from a different run.',
  },
  RUN_EXISTS: {
    exit: 13,
    close: undefined,
    retry: false,
    meaning: 'The run directory already exists.',
  },
  LOCKED: {
    exit: 28,
    close: 4428,
    retry: true,
    meaning: 'Another coordinator is running this run.',
  },
  REPLAY: {
    exit: 29,
    close: 4429,
    retry: false,
    meaning: 'A replayed step differs from the recorded one.',
  },
  DISAGREEMENT: {
    exit: 30,
    close: 4431,
    retry: false,
    meaning: 'Workers computed different bytes for the same shard.',
  },
  DIFFERS: {
    exit: 35,
    close: undefined,
    retry: false,
    meaning: 'verify: the recomputed run differs from the recorded one.',
  },
  IMAGE: {
    exit: 36,
    close: undefined,
    retry: false,
    meaning: 'predict: a file is not an image, or the image is empty.',
  },
  NOT_REPLAYABLE: {
    exit: 3,
    close: undefined,
    retry: false,
    meaning: 'verify: this machine cannot recompute the run.',
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
    meaning: 'Too few workers joined within --rdzv-timeout.',
  },
  UNREACHABLE: {
    exit: 16,
    close: undefined,
    retry: true,
    meaning: 'No coordinator answered within --max-wait-time.',
  },
  AMBIGUOUS: {
    exit: 37,
    close: undefined,
    retry: false,
    meaning: 'worker: several coordinators announce themselves.',
  },
  UNAUTHORIZED: { exit: 17, close: 4401, retry: false, meaning: 'The token is missing or wrong.' },
  TLS: {
    exit: 33,
    close: undefined,
    retry: false,
    meaning: "The coordinator's certificate is invalid or not trusted.",
  },
  VERSION: {
    exit: 18,
    close: 4418,
    retry: false,
    meaning: 'The protocol versions or the arithmetic versions differ.',
  },
  FINGERPRINT: {
    exit: 19,
    close: 4419,
    retry: false,
    meaning: "The worker's engine computes different bytes from the run's engine.",
  },
  FULL: {
    exit: 20,
    close: 4420,
    retry: true,
    meaning: 'The run has its maximum number of workers.',
  },
  PROTOCOL: {
    exit: 21,
    close: 4421,
    retry: false,
    meaning: 'A peer sent a message that violates the protocol.',
  },
  TIMEOUT: { exit: 22, close: 4422, retry: true, meaning: 'A peer did not answer in time.' },
  LIMIT: {
    exit: 23,
    close: 4423,
    retry: false,
    meaning: 'A limit was exceeded, or the process ran out of memory or file descriptors.',
  },
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
    meaning: 'Another process of the run failed.',
  },
  STORE: {
    exit: 31,
    close: undefined,
    retry: false,
    meaning: 'The artifact store could not be reached, read or written.',
  },
  DISK: {
    exit: 26,
    close: undefined,
    retry: false,
    meaning: 'A file could not be written.',
  },
  SUPERSEDED: {
    exit: 27,
    close: 4427,
    retry: true,
    meaning: 'A newer connection from the same worker took over.',
  },
  STOPPED: {
    exit: 38,
    close: undefined,
    retry: false,
    meaning: 'sweep: a trial was stopped because earlier ones were better (--stop-after).',
  },
  HUNG_UP: {
    exit: 129,
    close: 4444,
    retry: false,
    meaning: 'Stopped by SIGHUP (the terminal was closed).',
  },
  INTERRUPTED: { exit: 130, close: 4430, retry: false, meaning: 'Stopped by SIGINT (Ctrl-C).' },
  TERMINATED: {
    exit: 143,
    close: 4443,
    retry: false,
    meaning: 'Stopped by SIGTERM, or because the parent process ended.',
  },
} as const satisfies Record<
  string,
  { exit: number; close: number | undefined; retry: boolean; meaning: string }
>;

export type ErrorCode = keyof typeof errorTable;

/** Whether a signal, the parent process or a sweep stopped the run, rather than a failure. */
export function isOrderedEnd(code: ErrorCode): boolean {
  return (
    code === 'HUNG_UP' || code === 'INTERRUPTED' || code === 'TERMINATED' || code === 'STOPPED'
  );
}

/** The error code that corresponds to a process's exit code. */
export function errorCodeOfExit(exit: number): ErrorCode | undefined {
  return errorCodes.find((code) => errorTable[code].exit === exit);
}

/** The WebSocket close code for a run that is complete. */
export const CLOSE_FINISHED = 4000;

/**
 * An error that a user can act on. `message` contains the value and says what is wrong with it.
 * `fix` says what to do, and is printed on a separate line.
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

/** The error code that corresponds to a WebSocket close code. */
export function errorCodeOfClose(close: number): ErrorCode | undefined {
  return errorCodes.find((code) => errorTable[code].close === close);
}

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorTable, text);
}

export const errorCodes: readonly ErrorCode[] = Object.keys(errorTable).filter(isErrorCode);

/** The default branch of an exhaustive switch: a missing case does not compile. */
export function unreachable(value: never): never {
  throw new Error(`unreachable: ${JSON.stringify(value)}`);
}

/**
 * Throws if an invariant of this program is broken, which is always a bug and never a peer's fault.
 */
export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${what}`);
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
