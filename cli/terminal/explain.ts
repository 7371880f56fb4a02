import { inspect } from 'node:util';
import { errorTable, type ClusterError } from '../../shared/errors.ts';
import { typable } from '../options/invocation.ts';
import { createLogger, type LogFields } from './log.ts';
import { linesOf, stderr } from './output.ts';
import { resourceErrorOf } from '../processes/resource-error.ts';

/** Says what ended a command, and returns its exit code. A defect is shown with its stack. */
export function explain(error: unknown, argv: readonly string[]): number {
  const refusal = resourceErrorOf(error);
  if (refusal !== undefined) {
    report(refusal, argv);
    return refusal.exitCode;
  }
  stderr.write(...linesOf(inspect(error)), `Node ${process.version}`);
  return errorTable.UNEXPECTED.exit;
}

/**
 * For people on two lines; as a log line where the command line (which may be the error) or the
 * environment asks for JSON.
 */
function report(error: ClusterError, argv: readonly string[]): void {
  const fields = {
    code: error.code,
    ...(error.fix === undefined ? {} : { fix: typable(error.fix) }),
  };
  say(argv, 'error', fields, error.message);
  if (error.fix !== undefined && !asksForJson(argv)) stderr.write(`  ${error.fix}`);
}

/** A line on stderr of a command that may not have a log yet. */
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
