import { ClusterError } from '../../shared/errors.ts';
import { MIN_TOKEN_CHARACTERS } from '../../shared/limits.ts';
import { shortened } from '../terminal/styled-line.ts';
import type { OptionKey } from './options.ts';
import { flagOf, optionOf, variableOf } from './options.ts';
import { afterSuggestion, didYouMean } from './suggest.ts';

const MAX_SHOWN_CHARACTERS = 80;

/** The sources of a value, strongest first. */
export const sources = ['flag', 'environment', 'file', 'recipe', 'default'] as const;
export type Source = (typeof sources)[number];

/** A text that was given for an option, with its source. */
export interface Given {
  readonly source: Source;
  readonly text: string;
  /**
   * The value as an error quotes it: `--port 70000`, `MNIST_DIST_PORT=70000`,
   * `a.yaml:3: port: 70000`.
   */
  readonly shown: string;
}

/** How each option was given, for error messages. */
export type GivenOf = (key: OptionKey) => Given;

export function givenByFlag(name: string, text: string): Given {
  return { source: 'flag', text, shown: `--${name} ${quoted(name, text)}` };
}

export function givenByEnvironment(name: string, text: string): Given {
  return { source: 'environment', text, shown: `${variableOf(name)}=${quoted(name, text)}` };
}

export function givenByFile(at: string, name: string, text: string): Given {
  return { source: 'file', text, shown: `${at}: ${name}: ${quoted(name, text)}` };
}

export function givenByDefault(name: string, text: string): Given {
  return { source: 'default', text, shown: `--${name} ${quoted(name, text)} (the default)` };
}

/** The option's value. Throws USAGE, stating the source and the allowed values. */
export function parseGiven(key: OptionKey, given: Given): unknown {
  const { type, help } = optionOf(key);
  const value = type.parse(given.text);
  if (value !== undefined) return value;
  throw notAllowed(
    key,
    given,
    afterSuggestion(
      didYouMean(given.text, type.words, type.meant?.(given.text)),
      `allowed: ${type.allowed}`,
    ),
    help,
  );
}

export function notAllowed(key: OptionKey, given: Given, fix: string, why: string): ClusterError {
  const subject = given.source === 'flag' || given.source === 'default' ? '' : `${flagOf(key)}, `;
  return new ClusterError('USAGE', `${given.shown} is not allowed (${subject}${why})`, { fix });
}

/** An error may end up in a log, so it must not repeat a misplaced secret. */
function quoted(name: string, text: string): string {
  if (isSecret(name, text)) return `(${text.length} characters, which may be a secret)`;
  const shown = shortened(text, MAX_SHOWN_CHARACTERS);
  return /^[^\s"']+$/.test(shown) ? shown : `"${shown}"`;
}

/**
 * Whether the text may be a secret: a join string, a URL with a user name, a PEM key, or a token
 * given instead of its file.
 */
function isSecret(name: string, text: string): boolean {
  if (/token=|-----BEGIN |:\/\/[^/]*@/.test(text)) return true;
  const isLong = text.length >= MIN_TOKEN_CHARACTERS;
  return isLong && name.endsWith('token-file') && !/[./]/.test(text);
}
