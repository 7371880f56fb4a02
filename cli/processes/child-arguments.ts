import type { CommandName, OptionKey, OptionsOf } from '../options/options.ts';
import { isOptionKey, kebab, keysOf, optionOf } from '../options/options.ts';

/**
 * The command line that gives a child process exactly these options, regardless of its environment.
 * Options that are undefined or that the command does not have are left out, so that `local` can
 * pass its own options. `config` and `recipe` are never passed: their values are already among the
 * options.
 */
export function argumentsFor<C extends CommandName>(
  command: C,
  options: Partial<OptionsOf<C>> & Readonly<Record<string, unknown>>,
): string[] {
  const known = new Set(keysOf(command));
  const has = (key: string): key is OptionKey =>
    isOptionKey(key) && known.has(key) && key !== 'config' && key !== 'recipe';
  const flags = Object.entries(options).flatMap(([key, value]) =>
    has(key) && value !== undefined ? flagText(key, value) : [],
  );
  return [command, ...flags];
}

function flagText(key: OptionKey, value: unknown): string[] {
  const { type } = optionOf(key);
  if (type.metavar === undefined)
    return [value === true ? `--${kebab(key)}` : `--no-${kebab(key)}`];
  // A single argument, so that a value that begins with a dash is not mistaken for a flag.
  return [`--${kebab(key)}=${type.format(value ?? '')}`];
}
