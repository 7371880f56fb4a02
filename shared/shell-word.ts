import { resolve } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The working directory of the user's shell. npm runs scripts in the package's directory instead.
 */
export function shellFolder(
  environment: Environment = process.env,
  cwd: string = process.cwd(),
): string {
  const { npm_command: npm, INIT_CWD: folder } = environment;
  return npm === undefined || folder === undefined || folder === '' ? cwd : folder;
}

/** A word, quoted for a POSIX shell if necessary. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A command of this program as one line, from its arguments. */
export function commandText(argv: readonly string[]): string {
  return ['mnist-dist', ...argv.map(shellWord)].join(' ');
}

/** A path of this process, as the user would type it in their shell. */
export function shellPath(path: string): string {
  const folder = shellFolder();
  const typed = folder === process.cwd() ? path : resolve(path);
  return shellWord(typed.startsWith('-') ? `./${typed}` : typed);
}
