import { Command, CommanderError, Option as CommanderOption } from 'commander';
import { ClusterError } from '../shared/errors.ts';
import { commandNames, commandSynonyms, commandTable } from './command-table.ts';
import { commandHelp, programHelp } from './help.ts';
import { refuseTakenByNpm, type Environment } from './options/environment.ts';
import {
  flagOf,
  groupOf,
  kebab,
  keyOfName,
  keysOf,
  namesOf,
  optionKeys,
  optionOf,
  takes,
  type CommandLine,
  type CommandName,
  type OptionKey,
  type OptionsOf,
} from './options/options.ts';
import { givenByFlag, type Given } from './options/origin.ts';
import { parseOptions } from './options/parse-options.ts';
import { afterSuggestion, didYouMean } from './options/suggest.ts';
import { normalized, optionSynonyms, synonymOf } from './options/synonyms.ts';

/** Help or the version to print, on stderr if `exitCode` is not 0. */
export interface Print {
  readonly command: 'print';
  readonly text: string;
  readonly exitCode: 0 | 2;
}

/** A command with its checked options. */
export type ParsedCommand = { [C in CommandName]: Parsed<C> }[CommandName];
interface Parsed<C extends CommandName> extends CommandLine {
  readonly command: C;
  readonly options: OptionsOf<C>;
  /** Loads and runs the command; resolves with the exit code. */
  run(): Promise<number>;
}

/**
 * Parses the command line (without the node executable and the script), the environment and the
 * configuration file. Reads the files that options refer to, but does not start anything.
 * `helpColumns` replaces the width of the terminal. Throws USAGE.
 */
export function parseCommand(
  argv: readonly string[],
  environment: Environment,
  version: string,
  helpColumns?: number,
): ParsedCommand | Print {
  const output: string[] = [];
  let parsed: ParsedCommand | undefined;
  const program = buildProgram(version, output, (name, command) => {
    refuseTakenByNpm(keysOf(name), environment);
    parsed = parsedCommand(name, command, environment, argv);
  });
  if (helpColumns !== undefined)
    for (const each of [program, ...program.commands])
      each.configureOutput({
        getOutHelpWidth: () => helpColumns,
        getErrHelpWidth: () => helpColumns,
      });
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.version' || error.code.startsWith('commander.help')) {
      return { command: 'print', text: output.join(''), exitCode: error.exitCode === 0 ? 0 : 2 };
    }
    throw usageError(error, argv);
  }
  // Commander shows help and throws if no command was given.
  if (parsed === undefined) throw new Error('commander did not run an action');
  return parsed;
}

function parsedCommand<C extends CommandName>(
  name: C,
  command: Command,
  environment: Environment,
  argv: readonly string[],
): Parsed<C> {
  const { checks = [], settle, load } = commandTable[name];
  const given = flagsOf(name, command);
  const { options, explicit, givenOf } = parseOptions(name, given, environment);
  for (const check of checks) check(options, givenOf);
  const settled = settle?.(options, givenOf) ?? options;
  const flags = new Set(given.keys());
  const commandLine = { explicit, flags, operands: command.args, argv };
  return {
    ...commandLine,
    command: name,
    options: settled,
    run: async () => (await load())(settled, commandLine),
  };
}

function buildProgram(
  version: string,
  output: string[],
  onCommand: (name: CommandName, command: Command) => void,
): Command {
  const program = new Command('mnist-dist')
    .description(
      'Train MNIST data-parallel on worker processes over WebSockets, ' +
        'with the same bytes for any number of workers.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({
      writeOut: (text) => output.push(text),
      writeErr: (text) => output.push(text),
      // The caller prints the error that `usageError` derives from commander's error.
      outputError: () => undefined,
    })
    .addHelpText('after', programHelp());
  for (const name of commandNames) {
    const { summary, operands = [] } = commandTable[name];
    const command = program
      .command(name)
      .summary(summary)
      .description(`${sentence(summary)}.`);
    command.addHelpText('after', commandHelp(name));
    command.addHelpOption(new CommanderOption('-h, --help', 'print help').helpGroup('Output:'));
    for (const { name: operand, help, isRequired, isRepeated } of operands) {
      const word = isRepeated === true ? `${operand}...` : operand;
      command.argument(isRequired === true ? `<${word}>` : `[${word}]`, help);
    }
    for (const key of keysOf(name)) addOption(command, key);
    command.action(() => onCommand(name, command));
  }
  return program;
}

function addOption(command: Command, key: OptionKey): void {
  const { type, help, defaultText, short } = optionOf(key);
  const isSwitch = type.metavar === undefined;
  const value = isSwitch
    ? ''
    : type.bare === undefined
      ? ` <${type.metavar}>`
      : ` [${type.metavar}]`;
  const notes = [
    ...(defaultText === undefined || isSwitch ? [] : [`default: ${defaultText}`]),
    ...namesOf(key)
      .slice(1)
      .map((alias) => `alias: --${alias}`),
  ];
  const description = notes.length === 0 ? help : `${help} (${notes.join('; ')})`;
  const flags = `${short === undefined ? '' : `-${short}, `}${flagOf(key)}${value}`;
  command.addOption(new CommanderOption(flags, description).helpGroup(`${groupOf(key)}:`));
  for (const alias of namesOf(key).slice(1)) {
    const attribute = new CommanderOption(`--${alias}${value}`).hideHelp();
    command.addOption(attribute.conflicts(attributeOf(kebab(key))));
  }
  // A flag must be able to switch off what a variable or the file switched on.
  if (isSwitch) command.addOption(new CommanderOption(`--no-${kebab(key)}`).hideHelp());
}

/** The options on the command line, as texts. */
function flagsOf(name: CommandName, command: Command): Map<OptionKey, Given> {
  const found = new Map<OptionKey, Given>();
  const values: Record<string, unknown> = command.opts();
  for (const key of keysOf(name)) {
    for (const optionName of namesOf(key)) {
      const attribute = attributeOf(optionName);
      if (command.getOptionValueSource(attribute) !== 'cli') continue;
      const { bare, metavar } = optionOf(key).type;
      const isBare = bare !== undefined && values[attribute] === true;
      const given = givenByFlag(optionName, isBare ? bare : String(values[attribute]));
      const isSwitch = metavar === undefined;
      found.set(
        key,
        isSwitch
          ? { ...given, shown: `--${given.text === 'true' ? '' : 'no-'}${optionName}` }
          : given,
      );
    }
  }
  return found;
}

/** `rdzv-endpoint` -> `rdzvEndpoint`, commander's name for the attribute. */
function attributeOf(optionName: string): string {
  return new CommanderOption(`--${optionName}`).attributeName();
}

/** Adds a fix to commander's error: the nearest name, or the commands that do take the option. */
function usageError(error: CommanderError, argv: readonly string[]): ClusterError {
  const words = error.message.replace(/^error: /, '').split('\n')[0] ?? '';
  const quoted = /'(.*)'/.exec(words)?.[1] ?? '';
  const command = commandNames.find((name) => name === argv[0]);
  const subject = command === undefined ? '' : `${command} `;
  const helpHint = `"mnist-dist ${subject}--help" lists what is allowed.`;
  const usage = (message: string, fix: string) => new ClusterError('USAGE', message, { fix });

  switch (error.code) {
    case 'commander.unknownOption': {
      const flag = quoted.split('=')[0] ?? '';
      const message = isSwitchOf(flag, command)
        ? `${flag} does not take a value`
        : `unknown option ${flag}${command === undefined ? '' : ` for ${command}`}`;
      return usage(message, `${meaningElsewhere(flag, command)}${helpHint}`);
    }
    case 'commander.unknownCommand':
      return usage(
        `unknown command ${quoted}`,
        afterSuggestion(
          didYouMean(quoted, commandNames, synonymOf(quoted, commandSynonyms)),
          `allowed: ${commandNames.join(', ')}`,
        ),
      );
    case 'commander.optionMissingArgument': {
      const key = keyOfName(/--([a-z0-9-]+)/.exec(quoted)?.[1] ?? '');
      const allowed = key === undefined ? '' : `allowed: ${optionOf(key).type.allowed}. `;
      return usage(
        `${key === undefined ? quoted : flagOf(key)} needs a value`,
        `${allowed}${helpHint}`,
      );
    }
    case 'commander.excessArguments': {
      const operands = (command === undefined ? undefined : commandTable[command].operands) ?? [];
      const taken = operands.map(({ name }) => `one ${name}`).join(', ');
      const allowed = operands.length === 0 ? 'flags only' : `${taken} and flags`;
      return usage(words, `${command ?? 'mnist-dist'} takes ${allowed}. ${helpHint}`);
    }
    default:
      return usage(words, helpHint);
  }
}

/** The commands that take the option, such as "local and coordinator". */
function commandsWith(key: OptionKey): string {
  const { commands } = optionOf(key);
  return commands === 'all' ? 'all commands' : new Intl.ListFormat('en-GB').format(commands);
}

/**
 * Suggests what the user may have meant by an option that the command does not take, and says which
 * commands take it.
 */
function meaningElsewhere(flag: string, command: CommandName | undefined): string {
  const key = keyOf(flag);
  if (key !== undefined && isSwitchOf(flag, command))
    return `it is a switch; --no-${kebab(key)} switches it off. `;
  // Only a switch can be switched off.
  if (key !== undefined && command !== undefined && takes(command, key))
    return `did you mean --${kebab(key)}? `;
  const home = key === undefined ? '' : `${flag} is an option of ${commandsWith(key)}. `;
  const synonym = synonymOf(flag, optionSynonyms);
  const ours = synonym === undefined ? undefined : keyOfFlag(synonym);
  if (synonym !== undefined && ours !== undefined) {
    if (command === undefined || takes(command, ours)) return `did you mean ${synonym}? ${home}`;
    if (key === undefined) return `${synonym} is an option of ${commandsWith(ours)}. `;
  }
  if (key !== undefined) return home;
  const own = (command === undefined ? [...commandNames] : [command]).flatMap((each) =>
    keysOf(each).flatMap(namesOf),
  );
  return didYouMean(
    `--${normalized(flag)}`,
    [...own, 'help', 'version'].map((each) => `--${each}`),
  );
}

/**
 * Whether the command takes the option. In that case, commander rejected it because it is a switch
 * that was given a value, such as --insecure=yes.
 */
function isSwitchOf(flag: string, command: CommandName | undefined): boolean {
  const key = keyOf(flag);
  if (key === undefined || command === undefined || !takes(command, key)) return false;
  return optionOf(key).type.metavar === undefined;
}

/** The key of a flag as typed, such as "--no-http" or "-n". */
function keyOf(flag: string): OptionKey | undefined {
  const name = flag.replace(/^--(no-)?/, '');
  return keyOfName(name) ?? optionKeys.find((each) => flag === `-${optionOf(each).short}`);
}

/** The key of a flag with or without a value after it, such as "--device cpu" or "--no-http". */
function keyOfFlag(text: string): OptionKey | undefined {
  return keyOfName(/^--(?:no-)?([a-z0-9-]+)/.exec(text)?.[1] ?? '');
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
