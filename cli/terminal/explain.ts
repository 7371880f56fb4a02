import { inspect } from 'node:util';
import { errorTable, type ClusterError } from '../../shared/errors.ts';
import { typable } from '../options/invocation.ts';
import { createLogger, type LogFields } from './log.ts';
import { linesOf, stderr } from './output.ts';
import { resourceErrorOf } from '../processes/resource-error.ts';

/**
 * Prints the error that ended a command, with its stack trace if it is a bug, and returns the exit
 * code.
 */
export function explain(error: unknown, argv: readonly string[]): number {
  const known = resourceErrorOf(error);
  if (known !== undefined) {
    report(known, argv);
    return known.exitCode;
  }
  stderr.write(...linesOf(inspect(error)), `Node ${process.version}`);
  return errorTable.UNEXPECTED.exit;
}

/**
 * Prints the message and the fix on two lines, or as a JSON log line if the command line (which may
 * itself be invalid) or the environment asks for JSON.
 */
function report(error: ClusterError, argv: readonly string[]): void {
  const fields = {
    code: error.code,
    ...(error.fix === undefined ? {} : { fix: typable(error.fix) }),
  };
  say(argv, 'error', fields, error.message);
  if (error.fix !== undefined && !asksForJson(argv)) stderr.write(`  ${error.fix}`);
}

/** Prints a line on stderr for a command that may not have a log yet. */
export function say(
  argv: readonly string[],
  level: 'info' | 'error',
  fields: LogFields,
  message: string,
): void {
  if (!asksForJson(argv)) return stderr.write(`mnist-dist: ${message}`);
  createLogger({ level, format: 'json', destination: stderr })[level](fields, message);
}

function asksForJson(argv: readonly string[]): boolean {
  const format = /--log-format[= ](\S+)/.exec(argv.join(' '))?.[1];
  return (format ?? process.env['MNIST_DIST_LOG_FORMAT']) === 'json';
}
