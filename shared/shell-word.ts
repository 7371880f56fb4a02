import { resolve } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The folder in which the user's shell stands: npm starts scripts in the package's, whatever that
 * is.
 */
export function shellFolder(
  environment: Environment = process.env,
  cwd: string = process.cwd(),
): string {
  const { npm_command: npm, INIT_CWD: folder } = environment;
  return npm === undefined || folder === undefined || folder === '' ? cwd : folder;
}

/** A word as a POSIX shell takes it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./][\w@%+=:,./-]*$/.test(text)
    ? text
    : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A path of this process as it is typed where the user's shell stands. */
export function shellPath(path: string): string {
  const folder = shellFolder();
  const typed = folder === process.cwd() ? path : resolve(path);
  return shellWord(typed.startsWith('-') ? `./${typed}` : typed);
}
