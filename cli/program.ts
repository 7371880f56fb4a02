import { Command, CommanderError, Option as CommanderOption } from 'commander';
import { ClusterError } from '../shared/errors.ts';
import { refuseTakenByNpm, type Environment } from './options/environment.ts';
import { commandHelp, programHelp } from './options/help.ts';
import type { CommandName, OptionKey } from './options/options.ts';
import {
  commandNames,
  flagOf,
  kebab,
  keyOfName,
  keysOf,
  namesOf,
  optionKeys,
  optionOf,
} from './options/options.ts';
import type { Given } from './options/origin.ts';
import { givenByFlag } from './options/origin.ts';
import type { ParsedCommand } from './options/parse-options.ts';
import { parseOptions } from './options/parse-options.ts';
import { didYouMean } from './options/suggest.ts';
import { commandSynonyms, normalized, optionSynonyms, synonymOf } from './options/synonyms.ts';

/**
 * Help or the version: to be printed (on stderr when `exitCode` is not 0), and nothing else to be
 * done.
 */
export interface Print {
  readonly command: 'print';
  readonly text: string;
  readonly exitCode: 0 | 2;
}

const summaries: Readonly<Record<CommandName, string>> = {
  local: 'train on this machine: a coordinator and workers',
  coordinator: 'own a run: plan steps, sum gradients, write the run directory',
  worker: 'compute gradients for a coordinator',
  show: 'open a run that is over as a live page',
  verify: 'compute a run again and compare every step with its record',
  eval: 'evaluate a model on a test set: accuracy, confusion matrix, mistakes',
  predict: 'say which digit each picture shows',
  runs: 'list the runs of a folder, the newest first',
  push: "put a run's results into an artifacts store",
  pull: 'fetch a run from an artifacts store',
  dashboards: 'write Grafana dashboards to import',
  certs: 'make a private certificate authority and a certificate for a coordinator',
  setup: 'fetch and build the TensorFlow engine',
  doctor: 'check everything a run needs, with a fix for what fails',
  bench: 'measure engines, wire, kernels and the full loop',
};

/** A word that follows a command without a flag, or, where there may be `several`, each of them. */
interface Operand {
  readonly name: string;
  readonly help: string;
  readonly required?: boolean;
  readonly several?: boolean;
}

const newestRun: Operand = {
  name: 'run',
  help: 'the directory of the run (without it: the newest in --runs-dir)',
};

const operands: Partial<Record<CommandName, readonly Operand[]>> = {
  show: [newestRun],
  verify: [newestRun],
  eval: [
    {
      name: 'model',
      help: 'a run, a model.safetensors, or the URI of a run in a store (without it: the newest finished run in --runs-dir)',
    },
  ],
  predict: [
    {
      name: 'image',
      help: 'PNG files, each with one digit, dark on light or light on dark',
      required: true,
      several: true,
    },
  ],
  certs: [
    {
      name: 'name',
      help: 'DNS names and IP addresses by which workers dial the coordinator',
      required: true,
      several: true,
    },
  ],
  push: [
    { name: 'run', help: 'the directory of the run', required: true },
    {
      name: 'uri',
      help: 'the store: file:DIR or s3://BUCKET/PREFIX; the run gets a folder of its id in it',
      required: true,
    },
  ],
  pull: [
    {
      name: 'uri',
      help: 'the run in its store: file:DIR/ID or s3://BUCKET/PREFIX/ID',
      required: true,
    },
    { name: 'dir', help: 'the directory to make of it (without it: its id, in --runs-dir)' },
  ],
};

/**
 * What the command line (without node and script), the environment and the configuration file ask
 * for. Reads files that options name, starts nothing. Throws USAGE.
 */
export function parseCommand(
  argv: readonly string[],
  environment: Environment,
  version: string,
): ParsedCommand | Print {
  const output: string[] = [];
  let chosen:
    { name: CommandName; flags: Map<OptionKey, Given>; operands: readonly string[] } | undefined;
  const program = buildProgram(version, output, (name, command) => {
    refuseTakenByNpm(keysOf(name), environment);
    chosen = { name, flags: flagsOf(name, command), operands: command.args };
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
  // Commander shows help and throws when no command was named.
  if (chosen === undefined) throw new Error('commander ran no action');
  return parseOptions(chosen.name, chosen.flags, environment, chosen.operands);
}

function buildProgram(
  version: string,
  output: string[],
  onCommand: (name: CommandName, command: Command) => void,
): Command {
  const program = new Command('mnist-dist')
    .description(
      'Train MNIST data-parallel on worker processes over WebSockets: the same bytes for any number of workers.',
    )
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({
      writeOut: (text) => output.push(text),
      writeErr: (text) => output.push(text),
      // Commander's own report of an error: ours says more, and is printed by whoever catches it.
      outputError: () => undefined,
    })
    .addHelpText('after', programHelp());
  for (const name of commandNames) {
    const command = program
      .command(name)
      .summary(summaries[name])
      .description(`${sentence(summaries[name])}.`);
    command.addHelpText('after', commandHelp(name));
    command.addHelpOption(new CommanderOption('-h, --help', 'print help').helpGroup('Output:'));
    for (const { name: operand, help, required, several } of operands[name] ?? []) {
      const word = several === true ? `${operand}...` : operand;
      command.argument(required === true ? `<${word}>` : `[${word}]`, help);
    }
    for (const key of keysOf(name)) addOption(command, key);
    command.action(() => onCommand(name, command));
  }
  return program;
}

function addOption(command: Command, key: OptionKey): void {
  const { kind, help, defaultText, short, group } = optionOf(key);
  const isSwitch = kind.metavar === undefined;
  const value = isSwitch
    ? ''
    : kind.bare === undefined
      ? ` <${kind.metavar}>`
      : ` [${kind.metavar}]`;
  const notes = [
    ...(defaultText === undefined || isSwitch ? [] : [`default: ${defaultText}`]),
    ...namesOf(key)
      .slice(1)
      .map((alias) => `also --${alias}`),
  ];
  const description = notes.length === 0 ? help : `${help} (${notes.join('; ')})`;
  const flags = `${short === undefined ? '' : `-${short}, `}${flagOf(key)}${value}`;
  command.addOption(new CommanderOption(flags, description).helpGroup(`${group}:`));
  for (const alias of namesOf(key).slice(1)) {
    const attribute = new CommanderOption(`--${alias}${value}`).hideHelp();
    command.addOption(attribute.conflicts(attributeOf(kebab(key))));
  }
  // So that a flag can also switch off what a variable or the file switched on.
  if (isSwitch) command.addOption(new CommanderOption(`--no-${kebab(key)}`).hideHelp());
}

/** What stood on the command line, as text. */
function flagsOf(name: CommandName, command: Command): Map<OptionKey, Given> {
  const found = new Map<OptionKey, Given>();
  const values: Record<string, unknown> = command.opts();
  for (const key of keysOf(name)) {
    for (const optionName of namesOf(key)) {
      const attribute = attributeOf(optionName);
      if (command.getOptionValueSource(attribute) !== 'cli') continue;
      const { bare, metavar } = optionOf(key).kind;
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

/** `rdzv-endpoint` -> `rdzvEndpoint`, as commander names it. */
function attributeOf(optionName: string): string {
  return new CommanderOption(`--${optionName}`).attributeName();
}

/**
 * Commander's error in our words: the nearest name, and where an option belongs that this command
 * does not carry.
 */
function usageError(error: CommanderError, argv: readonly string[]): ClusterError {
  const words = error.message.replace(/^error: /, '').split('\n')[0] ?? '';
  const quoted = /'(.*)'/.exec(words)?.[1] ?? '';
  const command = commandNames.find((name) => name === argv[0]);
  const helpHint = `"mnist-dist ${command === undefined ? '' : `${command} `}--help" lists what is allowed.`;
  const usage = (message: string, fix: string) => new ClusterError('USAGE', message, { fix });

  switch (error.code) {
    case 'commander.unknownOption': {
      const flag = quoted.split('=')[0] ?? '';
      const message = `unknown option ${flag}${command === undefined ? '' : ` of ${command}`}`;
      return usage(message, `${otherHome(flag, command)}${helpHint}`);
    }
    case 'commander.unknownCommand':
      return usage(
        `unknown command ${quoted}`,
        `${didYouMean(quoted, commandNames, synonymOf(quoted, commandSynonyms))}Allowed: ${commandNames.join(', ')}.`,
      );
    case 'commander.optionMissingArgument': {
      const key = keyOfName(/--([a-z0-9-]+)/.exec(quoted)?.[1] ?? '');
      const allowed = key === undefined ? '' : `Allowed: ${optionOf(key).kind.allowed}. `;
      return usage(
        `${key === undefined ? quoted : flagOf(key)} needs a value after it`,
        `${allowed}${helpHint}`,
      );
    }
    case 'commander.excessArguments': {
      const names = (command === undefined ? undefined : operands[command]) ?? [];
      const taken = names.map(({ name }) => `one ${name}`).join(', ');
      const takes = names.length === 0 ? 'flags only' : `${taken} and flags`;
      return usage(words, `${command ?? 'mnist-dist'} takes ${takes}. ${helpHint}`);
    }
    default:
      return usage(words, helpHint);
  }
}

/** What an option that the command does not carry was meant to be, and where it belongs. */
function otherHome(flag: string, command: CommandName | undefined): string {
  const name = flag.replace(/^--(no-)?/, '');
  const key = keyOfName(name) ?? optionKeys.find((each) => flag === `-${optionOf(each).short}`);
  // What commander knows and still refuses is a switch with a value: --insecure=yes.
  if (key !== undefined && command !== undefined && optionOf(key).commands.includes(command))
    return `${flag} is a switch and takes no value; --no-${kebab(key)} switches it off. `;
  const home =
    key === undefined ? '' : `${flag} is an option of ${optionOf(key).commands.join(', ')}. `;
  const synonym = synonymOf(flag, optionSynonyms);
  const ours = synonym === undefined ? undefined : keyOfFlag(synonym);
  if (synonym !== undefined && ours !== undefined) {
    const { commands } = optionOf(ours);
    if (command === undefined || commands.includes(command))
      return `Did you mean ${synonym}? ${home}`;
    if (key === undefined) return `${synonym} is an option of ${commands.join(', ')}. `;
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

/** The key of a flag with or without a value behind it, such as "--device cpu" or "--no-http". */
function keyOfFlag(text: string): OptionKey | undefined {
  return keyOfName(/^--(?:no-)?([a-z0-9-]+)/.exec(text)?.[1] ?? '');
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
