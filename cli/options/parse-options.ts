import { unreachable } from '../../shared/errors.ts';
import { readConfigFile } from './config-file.ts';
import type { Environment } from './environment.ts';
import { readEnvironment } from './environment.ts';
import * as checks from './option-checks.ts';
import type { CommandName, OptionKey, OptionsOf } from './options.ts';
import { kebab, keysOf, optionOf } from './options.ts';
import type { Given } from './origin.ts';
import { givenByDefault, parseGiven } from './origin.ts';

/** A command with its options, and which of them somebody gave (as flag, variable or key). */
export interface Parsed<C extends CommandName> {
  readonly command: C;
  readonly options: OptionsOf<C>;
  readonly explicit: ReadonlySet<OptionKey>;
  /** The first word after the command that belongs to no flag, and all of them. */
  readonly operand: string | undefined;
  readonly operands: readonly string[];
}

export type ParsedCommand = { [C in CommandName]: Parsed<C> }[CommandName];

/**
 * Flag beats environment beats file beats default; then the options are checked together. Throws
 * USAGE.
 */
export function parseOptions(
  command: CommandName,
  flags: ReadonlyMap<OptionKey, Given>,
  environment: Environment,
  operands: readonly string[] = [],
): ParsedCommand {
  const variables = readEnvironment(environment);
  const config = flags.get('config') ?? variables.get('config');
  const file = config === undefined ? new Map<OptionKey, Given>() : readConfigFile(config.text);
  // A wrong value in the file is wrong whichever command reads it.
  for (const [key, given] of file) parseGiven(key, given);

  const given = new Map([...file, ...variables, ...flags]);
  const givenOf = (key: OptionKey): Given =>
    given.get(key) ?? givenByDefault(kebab(key), optionOf(key).defaultText ?? '');
  const explicit = new Set(keysOf(command).filter((key) => given.has(key)));
  const settled = <C extends CommandName>(name: C) => ({
    command: name,
    options: settle(name, given),
    explicit,
    operand: operands[0],
    operands,
  });

  switch (command) {
    case 'local': {
      const parsed = settled('local');
      checks.checkRunOptions(parsed.options, givenOf);
      checks.checkLocal(parsed.options, givenOf);
      checks.checkListener(parsed.options, givenOf);
      checks.checkPageHost(parsed.options, givenOf);
      checks.checkPorts(parsed.options, givenOf);
      return parsed;
    }
    case 'coordinator': {
      const parsed = settled('coordinator');
      checks.checkRunOptions(parsed.options, givenOf);
      checks.checkListener(parsed.options, givenOf);
      checks.checkPageHost(parsed.options, givenOf);
      checks.checkPorts(parsed.options, givenOf);
      return parsed;
    }
    case 'worker': {
      const parsed = settled('worker');
      checks.checkWorkerOptions(parsed.options, givenOf);
      return parsed;
    }
    case 'show': {
      const parsed = settled('show');
      checks.checkDataFolder(parsed.options.data, givenOf);
      checks.checkPageHost(parsed.options, givenOf);
      return parsed;
    }
    case 'verify': {
      const parsed = settled('verify');
      checks.checkDataFolder(parsed.options.data, givenOf);
      return parsed;
    }
    case 'eval': {
      const parsed = settled('eval');
      checks.checkDataFolder(parsed.options.data, givenOf);
      checks.checkTokenFile(parsed.options.tokenFile, givenOf);
      checks.checkListener(parsed.options, givenOf);
      checks.checkOut(parsed.options, givenOf);
      return parsed;
    }
    case 'predict': {
      const parsed = settled('predict');
      checks.checkDataFolder(parsed.options.data, givenOf);
      return parsed;
    }
    case 'runs':
      return settled('runs');
    case 'push':
      return settled('push');
    case 'pull':
      return settled('pull');
    case 'dashboards':
      return settled('dashboards');
    case 'certs':
      return settled('certs');
    case 'setup': {
      const parsed = settled('setup');
      return { ...parsed, options: checks.settleDevice(parsed.options, givenOf) };
    }
    case 'doctor':
      // What a run would refuse is for doctor a row of its table, not an error of its own.
      return settled('doctor');
    case 'bench':
      return settled('bench');
    default:
      return unreachable(command);
  }
}

/** Each option of the command through its own parser. */
function settle<C extends CommandName>(
  command: C,
  given: ReadonlyMap<OptionKey, Given>,
): OptionsOf<C> {
  const values: Record<string, unknown> = {};
  for (const key of keysOf(command)) {
    const text = given.get(key);
    values[key] = text === undefined ? optionOf(key).defaultValue(values) : parseGiven(key, text);
  }
  // Every key of OptionsOf<C> was just set by the parser or the default that its type was derived
  // from.
  return values as OptionsOf<C>;
}
