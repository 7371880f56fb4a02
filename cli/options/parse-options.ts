import { readConfigFile } from './config-file.ts';
import type { Environment } from './environment.ts';
import { readEnvironment } from './environment.ts';
import type { CommandName, OptionKey, OptionsOf } from './options.ts';
import { kebab, keysOf, optionOf } from './options.ts';
import type { Given, GivenOf } from './origin.ts';
import { givenByDefault, parseGiven } from './origin.ts';

interface Parsed<C extends CommandName> {
  readonly options: OptionsOf<C>;
  /** The options that were given by a flag, a variable or the configuration file. */
  readonly explicit: ReadonlySet<OptionKey>;
  readonly givenOf: GivenOf;
}

/**
 * A flag overrides a variable, a variable overrides the file, and the file overrides the default.
 */
export function parseOptions<C extends CommandName>(
  command: C,
  flags: ReadonlyMap<OptionKey, Given>,
  environment: Environment,
): Parsed<C> {
  const variables = readEnvironment(environment);
  const config = flags.get('config') ?? variables.get('config');
  const file = config === undefined ? new Map<OptionKey, Given>() : readConfigFile(config.text);
  // An invalid value is an error even if this command does not take the option.
  for (const [key, given] of file) parseGiven(key, given);

  const given = new Map([...file, ...variables, ...flags]);
  return {
    options: valuesOf(command, given),
    explicit: new Set(keysOf(command).filter((key) => given.has(key))),
    givenOf: (key) => given.get(key) ?? givenByDefault(kebab(key), optionOf(key).defaultText ?? ''),
  };
}

function valuesOf<C extends CommandName>(
  command: C,
  given: ReadonlyMap<OptionKey, Given>,
): OptionsOf<C> {
  const values: Record<string, unknown> = {};
  for (const key of keysOf(command)) {
    const text = given.get(key);
    values[key] = text === undefined ? optionOf(key).defaultValue(values) : parseGiven(key, text);
  }
  // The type was derived from the parsers and defaults that have just set every key.
  return values as OptionsOf<C>;
}
