import { setImmediate } from 'node:timers/promises';
import { homeOf } from '../shared/disk/cache-directory.ts';
import { FILE_SIZE_FIX, isTooLarge, systemCode } from '../shared/disk/system-error.ts';
import { ClusterError } from '../shared/errors.ts';
import { commandNames, commandTable } from './command-table.ts';
import { explain, say } from './terminal/explain.ts';
import { rememberStart } from './options/invocation.ts';
import { linesOf, stderr, stdout } from './terminal/output.ts';
import { version } from './package.ts';
import { packageRoot } from '../shared/package-root.ts';
import { parseCommand, type Print } from './program.ts';
import { endLookups, lookUpInChildren } from './processes/name-lookups.ts';
import { onIgnored, watchSignals } from './processes/signals.ts';

/** The error from the first failed write to stdout. */
let outputError: Error | undefined;

/**
 * Runs a command line (without the node executable and the script); resolves with the exit code.
 */
export async function main(argv: readonly string[]): Promise<number> {
  // Some libraries, including the AWS SDK, fail for a user without a home directory.
  if (homeOf() === undefined) process.env['HOME'] = '/';
  rememberStart(
    {
      script: process.argv[1] ?? '',
      cwd: process.cwd(),
      environment: process.env,
      root: packageRoot,
    },
    commandNames,
  );
  outliveReaders();
  lookUpInChildren();
  watchSignals();
  process.on('uncaughtException', (error) => process.exit(explain(error, argv)));
  onIgnored(() =>
    say(
      argv,
      'info',
      { signal: 'SIGHUP' },
      'SIGHUP is ignored because this process has no terminal; send SIGTERM to end it',
    ),
  );
  // If nothing is left that could settle the command's promise, Node exits with code 13, which
  // means RUN_EXISTS here.
  const defect = (): never =>
    process.exit(explain(new Error('the command can no longer settle'), argv));
  process.once('beforeExit', defect);
  try {
    const parsed = parseCommand(argv, process.env, version);
    const code = parsed.command === 'print' ? print(parsed) : await parsed.run();
    const isLog = parsed.command !== 'print' && commandTable[parsed.command].printsLog === true;
    if (!isLog) await checkPrinted();
    return code;
  } catch (error) {
    const code = explain(error, argv);
    // An unexpected error may leave sockets open, which would keep the process alive.
    if (!(error instanceof ClusterError)) process.exit(code);
    return code;
  } finally {
    process.off('beforeExit', defect);
    endLookups();
  }
}

function print({ text, exitCode }: Print): number {
  (exitCode === 0 ? stdout : stderr).write(...linesOf(text));
  return exitCode;
}

/**
 * A failed write does not end a command: a pipe (`| head`) or a terminal may be closed, and the
 * disk that holds a log file may be full. `checkPrinted` reports a lost result at the end.
 */
function outliveReaders(): void {
  process.stdout.on('error', (error) => {
    outputError ??= error;
  });
  process.stderr.on('error', () => undefined);
}

/** Throws DISK if a write to stdout failed, unless its reader has closed it. */
async function checkPrinted(): Promise<void> {
  // A stream reports an error only after the write.
  await setImmediate();
  if (outputError === undefined) return;
  const code = systemCode(outputError);
  if (code !== 'EPIPE' && code !== 'EIO') {
    throw new ClusterError('DISK', `the output could not be written: ${outputError.message}`, {
      fix:
        `${isTooLarge(outputError) ? FILE_SIZE_FIX : 'free disk space'}, ` +
        'or redirect the output elsewhere, and run the command again',
      cause: outputError,
    });
  }
}
