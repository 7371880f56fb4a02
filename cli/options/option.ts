import type { ValueType } from './value-types.ts';

/** The commands that train a model. */
export const trainingCommands = ['local', 'coordinator'] as const;

/** The values settled so far, from which a default may be derived. */
export type Settled = Readonly<Record<string, unknown>>;

/** The commands that take an option. */
export type Commands = readonly string[] | 'all';

export interface Option<T, C extends Commands> {
  readonly type: ValueType<NonNullable<T>>;
  readonly commands: C;
  /** One line for the help, without a full stop. */
  readonly help: string;
  /** The default as text; undefined if `help` says what an absent value means. */
  readonly defaultText: string | undefined;
  readonly short: string | undefined;
  /** A second name for the option, as a flag, a variable and a key. */
  readonly alias: string | undefined;
  defaultValue(settled: Settled): T;
}

interface Description<C> {
  readonly in: C;
  readonly help: string;
  readonly short?: string;
  readonly alias?: string;
}

export function withDefault<T, const C extends Commands>(
  type: ValueType<T & {}>,
  value: T & {},
  description: Description<C>,
): Option<T & {}, C> {
  return {
    ...described(description),
    type,
    defaultText: type.format(value),
    defaultValue: () => value,
  };
}

export function withoutDefault<T, const C extends Commands>(
  type: ValueType<T & {}>,
  description: Description<C>,
): Option<(T & {}) | undefined, C> {
  return {
    ...described(description),
    type,
    defaultText: undefined,
    defaultValue: () => undefined,
  };
}

/** An option that has its default only if `applies`, and is otherwise undefined. */
export function withDefaultIf<T, const C extends Commands>(
  applies: (settled: Settled) => boolean,
  type: ValueType<T & {}>,
  value: T & {},
  description: Description<C>,
): Option<(T & {}) | undefined, C> {
  return {
    ...described(description),
    type,
    defaultText: type.format(value),
    defaultValue: (settled) => (applies(settled) ? value : undefined),
  };
}

export function described<const C extends Commands>({
  in: commands,
  help,
  short,
  alias,
}: Description<C>) {
  return { commands, help, short, alias };
}
