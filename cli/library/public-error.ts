import type { ErrorCode } from './generated-types.ts';

/**
 * The error with which every function of this library fails. `message` contains the value and says
 * what is wrong with it.
 */
export class MnistDistError extends Error {
  override readonly name: string = 'MnistDistError';
  /** What went wrong, such as `USAGE`, `DATA`, `DIVERGED` or `INTERRUPTED`. */
  readonly code: ErrorCode;
  /** The exit code of the command that does the same. */
  readonly exitCode: number;
  /** What to do, as a sentence. */
  readonly fix: string | undefined;
  /** The directory of the run that failed or was aborted, if it was known; `resume` takes it. */
  readonly directory: string | undefined;

  constructor(
    message: string,
    details: {
      readonly code: ErrorCode;
      readonly exitCode: number;
      readonly fix?: string | undefined;
      readonly directory?: string | undefined;
      readonly cause?: unknown;
    },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.exitCode = details.exitCode;
    this.fix = details.fix;
    this.directory = details.directory;
  }
}
