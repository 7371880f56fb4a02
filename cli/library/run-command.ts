import { z } from 'zod';
import { ClusterError, errorCodeOfExit, errorTable, isErrorCode } from '../../shared/errors.ts';
import { STOP_LIMIT_MILLISECONDS } from '../../shared/limits.ts';
import { kebab, optionOf, takes, isOptionKey, type CommandName } from '../options/options.ts';
import { Child } from '../processes/child-process.ts';
import { aborted, checkAborted } from './errors.ts';

/** A line of a command's JSON log; other lines are not of interest. */
const logLine = z.object({
  level: z.string(),
  msg: z.string(),
  code: z.union([z.string(), z.number()]).optional(),
  fix: z.string().optional(),
});
type LogLine = z.infer<typeof logLine>;

interface CommandOptions {
  readonly signal: AbortSignal | undefined;
  /** What to do about an aborted run. */
  readonly abortFix?: () => string | undefined;
  readonly onRun?: (directory: string) => void;
  readonly onResult?: (line: string) => void;
}

/**
 * Runs a command in a process of its own, which ends when this process does. Resolves when it has
 * succeeded; rejects with the error that it reported.
 */
export async function runCommand(
  args: readonly string[],
  operands: readonly string[],
  { signal, abortFix, onRun, onResult }: CommandOptions,
): Promise<void> {
  checkAborted(signal);
  const report = new Report();
  const command = [...args, '--log-format=json', '--log-level=warn', ...operands];
  const child = new Child('mnist-dist', command, process.env, {
    line: (stream, text) => (stream === 'stderr' ? report.add(text) : onResult?.(text)),
    run: (directory) => onRun?.(directory),
  });
  let timer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.stop('INTERRUPTED');
    // The command ends its own processes within this limit.
    timer = setTimeout(() => child.kill(), 2 * STOP_LIMIT_MILLISECONDS);
  };
  signal?.addEventListener('abort', stop, { once: true });
  const code = await child.exited;
  signal?.removeEventListener('abort', stop);
  clearTimeout(timer);
  if (code === 0) return;
  if (signal?.aborted === true && (code === errorTable.INTERRUPTED.exit || code === KILLED))
    throw aborted(abortFix?.());
  throw report.errorOf(code, child.lastLines());
}

/** The exit code of a process that was killed. */
const KILLED = 137;

/** The errors in a command's log. */
class Report {
  /** The last line with the code of an error. */
  #coded: LogLine | undefined;
  #last: LogLine | undefined;

  add(text: string): void {
    const line = parsedLine(text);
    if (line?.level !== 'error') return;
    this.#last = line;
    if (typeof line.code === 'string' && isErrorCode(line.code)) this.#coded = line;
  }

  errorOf(exitCode: number, lastLines: readonly string[]): ClusterError {
    const code = errorCodeOfExit(exitCode) ?? 'UNEXPECTED';
    const line = this.#coded?.code === code ? this.#coded : this.#last;
    const unexpected = code === 'UNEXPECTED' ? lastLines.join('\n') : '';
    const message = line?.msg ?? (unexpected === '' ? errorTable[code].meaning : unexpected);
    return new ClusterError(code, message, line?.fix === undefined ? {} : { fix: line.fix });
  }
}

function parsedLine(text: string): LogLine | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    return logLine.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Options that the library sets itself. */
const ownOptions: ReadonlySet<string> = new Set(['progress', 'logLevel', 'logFormat', 'format']);

/**
 * The flags for these options; the command parses their values. Throws USAGE for an option that it
 * does not have.
 */
export function flagsOf(command: CommandName, options: object): string[] {
  return Object.entries(options).flatMap(([key, value]: [string, unknown]) => {
    if (value === undefined || key === 'signal') return [];
    if (!isOptionKey(key) || !takes(command, key) || ownOptions.has(key))
      throw new ClusterError('USAGE', `the option "${key}" is unknown`, {
        fix: 'use an option of docs/reference/api/library.md, in camelCase',
      });
    const { metavar, bare } = optionOf(key).type;
    if (metavar === undefined && typeof value === 'boolean')
      return [value ? `--${kebab(key)}` : `--no-${kebab(key)}`];
    // An option whose value may be left out.
    if (bare !== undefined && typeof value === 'boolean') return value ? [`--${kebab(key)}`] : [];
    // A single argument, so that a value that begins with a dash is not mistaken for a flag.
    return [`--${kebab(key)}=${valueText(key, value)}`];
  });
}

function valueText(key: string, value: unknown): string {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  return items
    .map((item) => {
      if (typeof item === 'string' || typeof item === 'number' || typeof item === 'boolean')
        return String(item);
      throw new ClusterError('USAGE', `${key}: a value of type ${typeof item} is not allowed`, {
        fix: 'use a number, a string, true or false, or an array of them',
      });
    })
    .join(',');
}
