import type { Kind } from './value-types.ts';

/** What an option of a command is, and how one is written down. */
export const commandNames = [
  ...([
    'local',
    'coordinator',
    'worker',
    'show',
    'verify',
    'eval',
    'predict',
    'runs',
    'push',
    'pull',
    'dashboards',
    'certs',
    'setup',
    'doctor',
    'bench',
  ] as const),
] as const;
export type CommandName = (typeof commandNames)[number];

export const optionGroups = [
  'Run',
  'Training',
  'Network',
  'Watching',
  'Workers',
  'Set-up',
  'Measuring',
  'Output',
] as const;
export type OptionGroup = (typeof optionGroups)[number];

/** What defaults may be derived from: the values that were found before. */
export type Found = Readonly<Record<string, unknown>>;

export interface Option<T, C extends CommandName> {
  readonly kind: Kind<NonNullable<T>>;
  readonly commands: readonly C[];
  readonly group: OptionGroup;
  /** One line for the help, without a full stop. */
  readonly help: string;
  /**
   * The default as readers see it; undefined where the value has none and the help says what
   * follows.
   */
  readonly defaultText: string | undefined;
  readonly short: string | undefined;
  /** Another name of the same option, as flag, variable and key. */
  readonly alias: string | undefined;
  defaultValue(found: Found): T;
}

interface Words<C> {
  readonly in: readonly C[];
  readonly group: OptionGroup;
  readonly help: string;
  readonly short?: string;
  readonly alias?: string;
}

export function withDefault<T, C extends CommandName>(
  kind: Kind<T & {}>,
  value: T & {},
  words: Words<C>,
): Option<T & {}, C> {
  return { ...common(words), kind, defaultText: kind.format(value), defaultValue: () => value };
}

export function without<T, C extends CommandName>(
  kind: Kind<T & {}>,
  words: Words<C>,
): Option<(T & {}) | undefined, C> {
  return { ...common(words), kind, defaultText: undefined, defaultValue: () => undefined };
}

export function common<C extends CommandName>({
  in: commands,
  group,
  help,
  short,
  alias,
}: Words<C>) {
  return { commands, group, help, short, alias };
}
