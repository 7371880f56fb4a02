import type { Environment } from '../options/environment.ts';

/** A terminal's capabilities. */
export interface Style {
  readonly colour: boolean;
  /** Whether it can show Unicode characters. */
  readonly unicode: boolean;
}

/** The properties of process.stdout that are used. */
export interface TerminalStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** Whether a line can be redrawn. */
export function isLive(stream: TerminalStream, environment: Environment): boolean {
  return stream.isTTY === true && environment['TERM'] !== 'dumb';
}

/** NO_COLOR (https://no-color.org) disables colours; the locale decides whether to use Unicode. */
export function styleOf(stream: TerminalStream, environment: Environment): Style {
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '';
  return {
    colour: isLive(stream, environment) && (environment['NO_COLOR'] ?? '') === '',
    unicode: /utf-?8/i.test(locale),
  };
}
