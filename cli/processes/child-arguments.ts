import type { CommandName, OptionKey, OptionsOf } from '../options/options.ts';
import { isOptionKey, kebab, keysOf, optionOf } from '../options/options.ts';

/**
 * The command line that gives a child process exactly these options, whatever its environment says.
 * Options that are undefined are left out; keys that the command does not carry are passed over, so
 * that `local` may hand on its own options as they are. `config` is never handed on: its values are
 * in the options already.
 */
export function argumentsFor<C extends CommandName>(
  command: C,
  options: Partial<OptionsOf<C>> & Readonly<Record<string, unknown>>,
): string[] {
  const carried = new Set(keysOf(command));
  const has = (key: string): key is OptionKey =>
    isOptionKey(key) && carried.has(key) && key !== 'config';
  const flags = Object.entries(options).flatMap(([key, value]) =>
    has(key) && value !== undefined ? flagText(key, value) : [],
  );
  return [command, ...flags];
}

function flagText(key: OptionKey, value: unknown): string[] {
  const { type } = optionOf(key);
  if (type.metavar === undefined)
    return [value === true ? `--${kebab(key)}` : `--no-${kebab(key)}`];
  // One argument, so that a value that begins with a dash is no flag.
  return [`--${kebab(key)}=${type.format(value ?? '')}`];
}
