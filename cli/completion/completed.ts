import { kebab, keysOf, namesOf, optionOf } from '../options/options.ts';
import type { CommandName, OptionKey } from '../options/options.ts';

/** What a shell offers where a value is expected: words, names of files, or nothing. */
export type CompletedValue = readonly string[] | 'file' | 'text';

export interface CompletedOption {
  /** Without dashes; its main name comes first. */
  readonly names: readonly [string, ...string[]];
  readonly short: string | undefined;
  readonly help: string;
  /** Undefined for a switch. */
  readonly value: CompletedValue | undefined;
  /** Whether the flag can stand without its value. */
  readonly isOptional: boolean;
}

export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  readonly operand: CompletedValue;
  readonly options: readonly CompletedOption[];
}

/** A command in the command table; an operand is the name of a file unless it says otherwise. */
export interface DescribedCommand {
  readonly name: CommandName;
  readonly summary: string;
  readonly operands?: readonly { readonly name: string; readonly completes?: CompletedValue }[];
}

/** The commands with their options. */
export function completedCommands(commands: readonly DescribedCommand[]): CompletedCommand[] {
  return commands.map(({ name, summary, operands = [] }) => {
    const options = [...keysOf(name).map(completedOption), HELP];
    return { name, summary, operand: operandOf(operands), options };
  });
}

const HELP: CompletedOption = {
  names: ['help'],
  short: 'h',
  help: 'print help',
  value: undefined,
  isOptional: false,
};

function operandOf(operands: NonNullable<DescribedCommand['operands']>): CompletedValue {
  const values = operands.map(({ completes }) => completes ?? 'file');
  const words = values.filter((value) => typeof value !== 'string').flat();
  if (words.length > 0) return words;
  return values.includes('file') ? 'file' : 'text';
}

function completedOption(key: OptionKey): CompletedOption {
  const option = optionOf(key);
  const { type, help, short } = option;
  if (type.metavar === undefined) {
    // A switch that is on by default is only of use to switch it off.
    const isOn = option.defaultValue({}) === true;
    return isOn
      ? { ...HELP, names: [`no-${kebab(key)}`], short: undefined, help: `switch off: ${help}` }
      : { ...HELP, names: [kebab(key)], short, help };
  }
  const [first = kebab(key), ...aliases] = namesOf(key);
  const names = [first, ...aliases] as const;
  const isOptional = type.bare !== undefined;
  return { names, short, help, value: valueOf(type.metavar, type.words), isOptional };
}

function valueOf(metavar: string, words: readonly string[]): CompletedValue {
  if (words.length > 0) return words;
  return metavar.split('|').some((part) => ['FILE', 'DIR', 'RUN', 'WHEEL'].includes(part))
    ? 'file'
    : 'text';
}

/** Each option once, although several commands take it. */
export function allOptions(commands: readonly CompletedCommand[]): CompletedOption[] {
  const options = commands.flatMap((command) => command.options);
  return [...new Map(options.map((option) => [option.names[0], option])).values()];
}

/** All flags of an option: `-n`, `--nproc-per-node`. */
export function flagsOf({ names, short }: CompletedOption): string[] {
  return [...(short === undefined ? [] : [`-${short}`]), ...names.map((each) => `--${each}`)];
}
