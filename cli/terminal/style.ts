import type { Environment } from '../options/environment.ts';

/** What the terminal can show. */
export interface Style {
  readonly colour: boolean;
  /** Whether box-drawing characters arrive as such. */
  readonly unicode: boolean;
}

/** What we need of process.stdout. */
export interface TerminalStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** Whether a line can be drawn again and again. */
export function isLive(stream: TerminalStream, environment: Environment): boolean {
  return stream.isTTY === true && environment['TERM'] !== 'dumb';
}

/** NO_COLOR (https://no-color.org) switches colours off; the locale decides about characters. */
export function styleOf(stream: TerminalStream, environment: Environment): Style {
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '';
  return {
    colour: isLive(stream, environment) && (environment['NO_COLOR'] ?? '') === '',
    unicode: /utf-?8/i.test(locale),
  };
}
