import { assert } from '../../shared/errors.ts';
import type { Commands, Option } from './option.ts';
import { optionGroups, optionTable } from './option-table.ts';

type Table = typeof optionTable;
export type OptionKey = keyof Table;
type ValueOf<K extends OptionKey> = ReturnType<Table[K]['defaultValue']>;
type CommandsOf<K extends OptionKey> = Table[K]['commands'];

/** Every command. The command table has an entry for each of them. */
export type CommandName = Exclude<CommandsOf<OptionKey>, 'all'>[number] | 'completion' | 'recipe';

/** The keys of the options that command `C` takes. */
export type OptionKeyOf<C extends CommandName> = {
  [K in OptionKey]: CommandsOf<K> extends 'all' ? K : C extends CommandsOf<K>[number] ? K : never;
}[OptionKey];
export type OptionsOf<C extends CommandName> = { readonly [K in OptionKeyOf<C>]: ValueOf<K> };

export type LocalOptions = OptionsOf<'local'>;
export type CoordinatorOptions = OptionsOf<'coordinator'>;
export type WorkerOptions = OptionsOf<'worker'>;
export type ShowOptions = OptionsOf<'show'>;
export type VerifyOptions = OptionsOf<'verify'>;
export type PushOptions = OptionsOf<'push'>;
export type PullOptions = OptionsOf<'pull'>;
export type EvalOptions = OptionsOf<'eval'>;
export type PredictOptions = OptionsOf<'predict'>;
export type ExportOptions = OptionsOf<'export'>;
export type DataOptions = OptionsOf<'data'>;
export type ModelOptions = OptionsOf<'model'>;
export type RunsOptions = OptionsOf<'runs'>;
export type SweepOptions = OptionsOf<'sweep'>;
export type CompareOptions = OptionsOf<'compare'>;
export type BoardOptions = OptionsOf<'board'>;
export type DashboardsOptions = OptionsOf<'dashboards'>;
export type CertsOptions = OptionsOf<'certs'>;
export type SetupOptions = OptionsOf<'setup'>;
export type DoctorOptions = OptionsOf<'doctor'>;
export type BenchOptions = OptionsOf<'bench'>;

/** What a command line contains besides the values of its options. */
export interface CommandLine {
  /** The options that were given by a flag, a variable or the configuration file. */
  readonly explicit: ReadonlySet<OptionKey>;
  /** The options that were given by a flag. */
  readonly flags: ReadonlySet<OptionKey>;
  /** The words after the command that do not belong to a flag. */
  readonly operands: readonly string[];
  /** The whole command line, without the node executable and the script. */
  readonly argv: readonly string[];
}

export function isOptionKey(text: string): text is OptionKey {
  return Object.hasOwn(optionTable, text);
}

export const optionKeys: readonly OptionKey[] = Object.keys(optionTable).filter(isOptionKey);

/** The option with a general type, for code that handles all options alike. */
export function optionOf(key: OptionKey): Option<unknown, Commands> {
  return optionTable[key];
}

/** The heading under which the help lists the option. */
export function groupOf(key: OptionKey): string {
  const groups = Object.entries(optionGroups);
  const [name] = groups.find(([, options]) => Object.hasOwn(options, key)) ?? [];
  assert(name !== undefined, 'every option is in a group');
  return name;
}

/** Whether the command takes the option. */
export function takes(command: string, key: OptionKey): boolean {
  const { commands } = optionOf(key);
  return commands === 'all' || commands.includes(command);
}

export function keysOf(command: CommandName): OptionKey[] {
  return optionKeys.filter((key) => takes(command, key));
}

/** The commands that take the option, for a sentence or a table. */
export function commandsText(key: OptionKey): string {
  const { commands } = optionOf(key);
  return commands === 'all' ? 'all commands' : commands.join(', ');
}

/** `batchSize` -> `batch-size`: the flag without dashes, and the YAML key. */
export function kebab(key: OptionKey): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export function flagOf(key: OptionKey): string {
  return `--${kebab(key)}`;
}

/** All names of an option, without dashes; its main name comes first. */
export function namesOf(key: OptionKey): string[] {
  const { alias } = optionOf(key);
  return alias === undefined ? [kebab(key)] : [kebab(key), alias];
}

/** `batch-size` -> `MNIST_DIST_BATCH_SIZE`. */
export function variableOf(optionName: string): string {
  return `MNIST_DIST_${optionName.toUpperCase().replaceAll('-', '_')}`;
}

/** The option with this name or alias, without dashes. */
export function keyOfName(optionName: string): OptionKey | undefined {
  return optionKeys.find((key) => namesOf(key).includes(optionName));
}
