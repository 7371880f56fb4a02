import { libraries } from '../libraries.ts';
import { typable } from '../options/invocation.ts';
import type { Output } from './output.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFormat = 'text' | 'json';

export type LogFields = Readonly<Record<string, unknown>>;

/** The log of a process. The message is a sentence for users, the fields are for programs. */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  readonly destination: Output;
  /** Fields of every line: `{ process: 'coordinator' }`. */
  readonly fields?: LogFields;
  readonly clock?: () => Date;
}

/**
 * Creates a logger. `json`: pino's lines with the level as a word and the time in ISO 8601. `text`:
 * short lines such as `12:03:04 worker w0 joined (tensorflow, cpu)`, with the fields only at level
 * debug. Messages and fields may contain text from a peer.
 */
export function createLogger(options: LoggerOptions): Log {
  const { level, format, fields = {}, clock = () => new Date() } = options;
  const { destination } = options;
  if (format === 'text') return textLogger({ level, fields, clock, destination });
  const { pino } = libraries.pino();
  const logger = pino(
    {
      level,
      base: fields,
      timestamp: () => `,"time":"${clock().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      // JSON.stringify turns an Error into {}; both field names are in use.
      serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
    },
    { write: (line: string) => destination.jsonText(line) },
  );
  const at = (severity: LogLevel) => (own: LogFields, message: string) =>
    logger[severity](own, typable(message));
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

interface TextOptions {
  readonly level: LogLevel;
  readonly fields: LogFields;
  readonly clock: () => Date;
  readonly destination: Output;
}

function textLogger({ level, fields, clock, destination }: TextOptions): Log {
  const least = logLevels.indexOf(level);
  const at = (severity: LogLevel) => (own: LogFields, message: string) => {
    if (logLevels.indexOf(severity) < least) return;
    destination.write(
      textLine(clock(), severity, message, level === 'debug' ? { ...fields, ...own } : {}),
    );
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** `12:03:04 warning: the message key=value`, in local time. */
export function textLine(time: Date, level: LogLevel, message: string, fields: LogFields): string {
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()];
  const words = { debug: 'debug: ', info: '', warn: 'warning: ', error: 'error: ' };
  const shown = Object.entries(fields).map(([key, value]) => ` ${key}=${fieldText(value)}`);
  const stamp = clock.map((part) => String(part).padStart(2, '0')).join(':');
  return `${stamp} ${words[level]}${message}${shown.join('')}`;
}

function fieldText(value: unknown): string {
  if (value instanceof Error) return JSON.stringify(value.message);
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return safeJson(value);
  return String(value);
}

// Logging must not throw, not even for a field that cannot be written as JSON.
function safeJson(value: object): string {
  try {
    return JSON.stringify(value);
  } catch {
    return '[not JSON]';
  }
}
