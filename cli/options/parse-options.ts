import { assert } from '../../shared/errors.ts';
import { readConfigFile } from './config-file.ts';
import type { Environment } from './environment.ts';
import { readEnvironment } from './environment.ts';
import type { CommandName, OptionKey, OptionsOf } from './options.ts';
import { kebab, keysOf, optionOf } from './options.ts';
import type { Given, GivenOf } from './origin.ts';
import { givenByDefault, parseGiven } from './origin.ts';
import { recipeOptionsOf } from './recipe-file.ts';
import { isRecipeName } from './recipe-names.ts';

export interface Parsed<C extends CommandName> {
  readonly options: OptionsOf<C>;
  /**
   * The options that were given by a flag, a variable, the configuration file or a recipe. A recipe
   * does not set the length of a run that is resumed.
   */
  readonly explicit: ReadonlySet<OptionKey>;
  readonly givenOf: GivenOf;
}

/**
 * A flag overrides a variable, a variable overrides the file, the file overrides the recipe, and
 * the recipe overrides the default.
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

  return optionsFrom(command, new Map([...file, ...variables, ...flags]));
}

/** The options of a command from these texts and from the recipe that they name. */
export function optionsFrom<C extends CommandName>(
  command: C,
  named: ReadonlyMap<OptionKey, Given>,
): Parsed<C> {
  const given = new Map([...recipeOf(command, named), ...named]);
  return {
    options: valuesOf(command, given),
    explicit: new Set(keysOf(command).filter((key) => isExplicit(key, given.get(key)))),
    givenOf: (key) => given.get(key) ?? givenByDefault(kebab(key), optionOf(key).defaultText ?? ''),
  };
}

/** The options of the recipe that is named, if the command takes one. */
function recipeOf(
  command: CommandName,
  named: ReadonlyMap<OptionKey, Given>,
): ReadonlyMap<OptionKey, Given> {
  const recipe = named.get('recipe');
  if (recipe === undefined || !keysOf(command).includes('recipe')) return new Map();
  const name = parseGiven('recipe', recipe);
  assert(typeof name === 'string' && isRecipeName(name), 'the parser accepts only recipes');
  return recipeOptionsOf(name);
}

function isExplicit(key: OptionKey, given: Given | undefined): boolean {
  if (given === undefined) return false;
  return given.source !== 'recipe' || (key !== 'epochs' && key !== 'steps');
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
