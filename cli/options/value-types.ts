import {
  formatImageSize,
  parseImageSize,
  type ImageSize,
} from '../../shared/dataset/image-size.ts';
import { expandHome } from '../../shared/disk/cache-directory.ts';
import {
  BLOCK_MICROSECONDS,
  MAX_EPOCHS,
  MAX_INPUTS,
  MAX_NAME_CHARACTERS,
  MAX_STEPS,
} from '../../shared/limits.ts';
import { synonymOf } from './synonyms.ts';

/**
 * A type of option value: how a string from a flag, a variable or a YAML scalar becomes a value,
 * and which strings are allowed. `format` is the inverse of `parse`, for the command line of a
 * child process.
 */
export interface ValueType<T> {
  /** The placeholder after the flag in the help; undefined for a switch. */
  readonly metavar: string | undefined;
  /** The text that a flag without a value stands for; undefined if the flag needs a value. */
  readonly bare?: string;
  /** The allowed texts, to follow "allowed: " in an error. */
  readonly allowed: string;
  /** The allowed words of a type that has only a few, for "did you mean". */
  readonly words: readonly string[];
  /** The allowed word for a string that other programs use, if there is one. */
  meant?(text: string): string | undefined;
  /** The value, or undefined if the text is not allowed. */
  parse(text: string): T | undefined;
  format(value: T): string;
}

interface Range {
  readonly min: number;
  readonly max: number;
}

export const WEEK_SECONDS = 7 * 86_400;
export const MAX_RETRIES = 1_000_000;
const NAME = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${MAX_NAME_CHARACTERS - 1}}$`);
/** A number as people or JavaScript write it: small ones have an exponent, as in 1e-7. */
const NUMBER = String.raw`\d+(?:\.\d+)?(?:e[+-]?\d+)?`;
const EPOCHS = new RegExp(`^(${NUMBER}) ?epochs?$`, 'i');
const QUANTITY = new RegExp(`^(${NUMBER}) ?([a-z]*)$`, 'i');
const SECONDS_PER_UNIT: Readonly<Record<string, number>> = {
  '': 1,
  ms: 0.001,
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
};
const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  kib: 1024,
  mib: 1024 ** 2,
  gib: 1024 ** 3,
};

export const flag: ValueType<boolean> = {
  metavar: undefined,
  allowed: 'true or false (or yes, no, on, off, 1, 0)',
  words: [],
  parse(text) {
    const word = text.toLowerCase();
    if (['true', 'yes', 'on', '1'].includes(word)) return true;
    return ['false', 'no', 'off', '0'].includes(word) ? false : undefined;
  },
  format: String,
};

export function integer({ min, max }: Range, metavar = 'N'): ValueType<number> {
  return {
    metavar,
    allowed: `a whole number from ${min} to ${max}`,
    words: [],
    parse: (text) => (/^\+?\d{1,16}$/.test(text) ? within(Number(text), { min, max }) : undefined),
    format: String,
  };
}

export const port = integer({ min: 0, max: 65_535 }, 'PORT');

/** A finite decimal number for which `accepts` returns true; `allowed` says the same in words. */
export function decimal(allowed: string, accepts: (value: number) => boolean): ValueType<number> {
  return {
    metavar: 'X',
    allowed,
    words: [],
    parse(text) {
      const value = decimalOf(text);
      return value !== undefined && accepts(value) ? value : undefined;
    },
    format: String,
  };
}

/** One of these words; `synonyms` maps other programs' words to them. */
export function choice<const W extends string>(
  words: readonly W[],
  synonyms: Readonly<Record<string, NoInfer<W>>> = {},
): ValueType<W> {
  return {
    metavar: words.join('|'),
    allowed: words.join(', '),
    words,
    meant: (text) => synonymOf(text, synonyms),
    parse: (text) => words.find((word) => word === text),
    format: String,
  };
}

/** The name of a run or a worker; `what` describes it in errors. */
export function name(what: string): ValueType<string> {
  return {
    metavar: 'NAME',
    allowed:
      `${what}: 1 to ${MAX_NAME_CHARACTERS} letters, digits, ".", "_" and "-", ` +
      'beginning with a letter or a digit',
    words: [],
    parse: (text) => (NAME.test(text) ? text : undefined),
    format: String,
  };
}

export function path(metavar: string, allowed: string): ValueType<string> {
  return {
    metavar,
    allowed,
    words: [],
    // A PEM text is a file's content rather than its path, and a system error would repeat it.
    parse: (text) => (text === '' || /\0|-----BEGIN /.test(text) ? undefined : expandHome(text)),
    format: String,
  };
}

/** Any text. The command checks it and never repeats it in an error. */
export function secret(metavar: string): ValueType<string> {
  return {
    metavar,
    allowed: 'any non-empty text',
    words: [],
    parse: (text) => (text === '' ? undefined : text),
    format: String,
  };
}

/** A SHA-256 digest. The text may be in upper case and contain colons, as openssl prints it. */
export const sha256: ValueType<string> = {
  metavar: 'SHA256',
  allowed: '64 hexadecimal digits, with or without colons',
  words: [],
  parse(text) {
    const digits = text.replaceAll(':', '').toLowerCase();
    return /^[0-9a-f]{64}$/.test(digits) ? digits : undefined;
  },
  format: String,
};

/** A number of steps, "500", or a duration, "10s". */
export function stepsOrDuration({
  min,
  max,
}: Range): ValueType<{ steps: number } | { milliseconds: number }> {
  const steps = integer({ min, max });
  const seconds = duration({ min: 0.1, max });
  return {
    metavar: 'N|SECONDS',
    allowed:
      'a whole number of steps from 1, such as 500, ' +
      'or a duration of at least 0.1 s, such as 10s or 5m',
    words: [],
    parse(text) {
      const count = steps.parse(text);
      if (count !== undefined) return { steps: count };
      const length = seconds.parse(text);
      return length === undefined ? undefined : { milliseconds: Math.round(1000 * length) };
    },
    format(value) {
      if ('steps' in value) return String(value.steps);
      const { milliseconds } = value;
      return milliseconds % 1000 === 0 ? `${milliseconds / 1000}s` : `${milliseconds}ms`;
    },
  };
}

/** An engine's device; `cuda:0` is the first GPU. */
export type Device = 'auto' | 'cpu' | `cuda:${number}`;
export const device: ValueType<Device> = {
  metavar: 'auto|cpu|cuda:N',
  allowed: 'auto, cpu or cuda:N, with N from 0 to 999',
  words: ['auto', 'cpu', 'cuda:0'],
  meant(text) {
    const index = /^(?:gpu|cuda|nvidia)?:?(\d{0,3})$/.exec(text.toLowerCase())?.[1];
    return index === undefined ? undefined : `cuda:${Number(index)}`;
  },
  parse(text) {
    if (text === 'auto' || text === 'cpu') return text;
    const index = /^cuda:(0|[1-9]\d{0,2})$/.exec(text)?.[1];
    return index === undefined ? undefined : `cuda:${Number(index)}`;
  },
  format: String,
};

/** One or more whole numbers, separated by commas. */
export function integers(range: Range, maxCount: number): ValueType<readonly number[]> {
  const allowed = `whole numbers from ${range.min} to ${range.max}`;
  return listOf(integer(range), maxCount, 'N,N,...', allowed);
}

/** One or more values, separated by commas; `allowed` describes them in the plural. */
export function listOf<T>(
  item: ValueType<T>,
  maxCount: number,
  metavar: string,
  allowed: string,
): ValueType<readonly T[]> {
  return {
    metavar,
    allowed: `1 to ${maxCount} ${allowed}, separated by commas`,
    words: [],
    parse(text) {
      const values = text.split(',').map((part) => item.parse(part.trim()));
      const valid = values.filter((value) => value !== undefined);
      return valid.length === values.length && valid.length <= maxCount ? valid : undefined;
    },
    format: (values) => values.map((value) => item.format(value)).join(','),
  };
}

/** A number of steps, "500", or of epochs, "2epochs", which may have a fraction. */
export type StepsOrEpochs = { readonly steps: number } | { readonly epochs: number };
export function stepsOrEpochs(min: 0 | 1): ValueType<StepsOrEpochs> {
  const steps = integer({ min, max: MAX_STEPS });
  return {
    metavar: 'N|Nepochs',
    allowed: `a whole number of steps from ${min}, such as 500, or of epochs, such as 2epochs`,
    words: [],
    parse(text) {
      const count = steps.parse(text);
      if (count !== undefined) return { steps: count };
      const epochs = Number(EPOCHS.exec(text)?.[1]);
      if (epochs === 0 && min === 0) return { steps: 0 };
      return epochs > 0 && epochs <= MAX_EPOCHS ? { epochs } : undefined;
    },
    format(value) {
      if ('steps' in value) return String(value.steps);
      return `${value.epochs}${value.epochs === 1 ? 'epoch' : 'epochs'}`;
    },
  };
}

/** A duration in seconds: "300", "300s", "5m". */
export function duration({ min, max }: Range): ValueType<number> {
  return {
    metavar: 'SECONDS',
    allowed: `a duration from ${min} to ${max} seconds, such as 300, 300s or 5m (ms, s, m, h, d)`,
    words: [],
    parse(text) {
      const seconds = quantity(text, SECONDS_PER_UNIT);
      return seconds === undefined ? undefined : within(seconds, { min, max });
    },
    format: String,
  };
}

/** A size in bytes: "67108864", "64MiB", "64MB". */
export function byteSize({ min, max }: Range): ValueType<number> {
  return {
    metavar: 'BYTES',
    allowed:
      `a size from ${min} to ${max} bytes, ` +
      'such as 67108864, 64MiB or 64MB (kB, MB, GB, KiB, MiB, GiB)',
    words: [],
    parse(text) {
      const bytes = quantity(text, BYTES_PER_UNIT);
      return bytes === undefined ? undefined : within(Math.round(bytes), { min, max });
    },
    format: String,
  };
}

/** Either of two types; the first that accepts the text wins. */
export function either<A extends string | number, B extends string | number>(
  metavar: string,
  first: ValueType<A>,
  second: ValueType<B>,
): ValueType<A | B> {
  return {
    metavar,
    allowed: `${first.allowed}, or ${second.allowed}`,
    words: [...first.words, ...second.words],
    meant: (text) => first.meant?.(text) ?? second.meant?.(text),
    parse: (text) => first.parse(text) ?? second.parse(text),
    format: String,
  };
}

/** How long a process may spin while it waits: `auto`, or microseconds; `off` stands for 0. */
export const spin: ValueType<'auto' | number> = {
  metavar: 'auto|off|MICROSECONDS',
  allowed: `auto, off, or a whole number from 0 to ${BLOCK_MICROSECONDS}`,
  words: ['auto', 'off'],
  parse(text) {
    if (text === 'auto') return text;
    return text === 'off' ? 0 : integer({ min: 0, max: BLOCK_MICROSECONDS }).parse(text);
  },
  format: (value) => (value === 0 ? 'off' : String(value)),
};

/** The size of a picture: "28", or "28x20" with its rows first. */
export const imageSize: ValueType<ImageSize> = {
  metavar: 'N|ROWSxCOLUMNS',
  allowed: `rows and columns, such as 28 or 28x20, with at most ${MAX_INPUTS} pixels`,
  words: [],
  parse: parseImageSize,
  format: formatImageSize,
};

function within(value: number, { min, max }: Range): number | undefined {
  return value >= min && value <= max ? value : undefined;
}

function decimalOf(text: string): number | undefined {
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function quantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, digits, unit] = QUANTITY.exec(text) ?? [];
  if (digits === undefined || unit === undefined || !Object.hasOwn(units, unit.toLowerCase()))
    return undefined;
  return Number(digits) * (units[unit.toLowerCase()] ?? 0);
}
