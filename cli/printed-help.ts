import { readFileSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { packageRoot } from '../shared/package-root.ts';
import { printable } from '../shared/printable.ts';
import { rememberStart, typable } from './options/invocation.ts';

/**
 * Help and version without loading the program, which takes twice as long as starting Node. The
 * build writes the texts (help-texts.ts); a test compares them with what the program prints.
 */
export interface HelpTexts {
  readonly version: string;
  readonly program: string;
  readonly commands: Readonly<Record<string, string>>;
}

/** The width of help in a pipe or file, for which the build writes the texts. */
export const HELP_COLUMNS = 80;
const STDOUT = 1;
const STDERR = 2;
/** The exit code of USAGE, for a command line without a command. */
const USAGE_EXIT_CODE = 2;

/**
 * Prints the help or the version if the command line asks for nothing else. Returns the exit code;
 * undefined if the program itself must answer: it is not built, the terminal has another width, or
 * the text cannot be written.
 */
export function printHelp(argv: readonly string[]): number | undefined {
  const select = selectorOf(argv);
  const descriptor = argv.length === 0 ? STDERR : STDOUT;
  if (select === undefined || columnsOf(descriptor) !== HELP_COLUMNS) return undefined;
  try {
    const texts = readTexts();
    const text = select(texts);
    if (text === undefined) return undefined;
    const { argv: words, env: environment } = process;
    const start = { script: words[1] ?? '', cwd: process.cwd(), environment, root: packageRoot };
    rememberStart(start, Object.keys(texts.commands));
    const lines = text.split('\n').map((line) => printable(typable(line)));
    writeAll(descriptor, Buffer.from(lines.join('\n')));
    return descriptor === STDERR ? USAGE_EXIT_CODE : 0;
  } catch {
    return undefined;
  }
}

/** Chooses the text that a command line asks for; undefined if it asks for something else. */
function selectorOf(
  argv: readonly string[],
): ((texts: HelpTexts) => string | undefined) | undefined {
  const [first = '--help', second] = argv;
  if (argv.length > 2) return undefined;
  if (second === undefined) {
    if (isHelp(first) || first === 'help') return ({ program }) => program;
    if (first === '--version' || first === '-V') return ({ version }) => `${version}\n`;
    return undefined;
  }
  const command = isHelp(second) ? first : first === 'help' ? second : undefined;
  if (command === undefined) return undefined;
  return ({ commands }) => (Object.hasOwn(commands, command) ? commands[command] : undefined);
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h';
}

function columnsOf(descriptor: number): number | undefined {
  if (!isatty(descriptor)) return HELP_COLUMNS;
  return (descriptor === STDERR ? process.stderr : process.stdout).columns;
}

function readTexts(): HelpTexts {
  // The build wrote this file from the same type.
  return JSON.parse(readFileSync(new URL('help.json', import.meta.url), 'utf8')) as HelpTexts;
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(descriptor, bytes, at);
}
