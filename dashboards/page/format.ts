/** Formats numbers and names for people. A missing number becomes a dash. */
import { isNumber } from '../../shared/text/number-format.ts';

export { bytesText, count, counted, duration, percent } from '../../shared/text/number-format.ts';

const NONE = '–';
const grouping = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** Four decimals below 1, three significant digits above: 0.0812, 2.31, 12.4 */
export function loss(value: number | undefined): string {
  if (!isNumber(value)) return NONE;
  if (value === 0 || value >= 1000) return value.toFixed(0);
  if (value < 0.0001) return value.toExponential(1);
  return value >= 1 ? value.toPrecision(3) : value.toFixed(4);
}

/** Shortens a large number to three significant digits: 21345 -> "21.3 k" */
export function short(value: number | undefined): string {
  if (!isNumber(value)) return NONE;
  if (Math.abs(value) >= 999_500) return `${(value / 1e6).toPrecision(3)} M`;
  return Math.abs(value) >= 9_995 ? `${(value / 1000).toPrecision(3)} k` : grouping.format(value);
}

/** An axis label; axis values are round: 5000 -> "5 k", 0.25 -> "0.25" */
export function tick(value: number): string {
  const [divisor, unit] =
    Math.abs(value) >= 1e6 ? [1e6, ' M'] : Math.abs(value) >= 1000 ? [1000, ' k'] : [1, ''];
  return `${Number((value / divisor).toPrecision(4))}${unit}`;
}

/**
 * The values to label on a logarithmic axis: 1, 2 and 5 times powers of ten, or only the powers if
 * there are many decades. (uPlot's own function never returns for an axis that begins between two
 * of these values.)
 */
export function decades(low: number, high: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const factors = last - first > 3 ? [1] : [1, 2, 5];
  const powers = Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  return powers
    .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
    .filter((value) => value >= low && value <= high);
}

/** Three significant digits, for values of any size: 0.0003, 1.23, 3.1e-7 */
export function significant(value: number | undefined): string {
  return isNumber(value) ? String(Number(value.toPrecision(3))) : NONE;
}

export function milliseconds(value: number | undefined): string {
  if (!isNumber(value)) return NONE;
  return `${value < 10 ? value.toFixed(1) : grouping.format(value)} ms`;
}

/**
 * The local time of day for an ISO 8601 time or Unix milliseconds; the input itself if it is not a
 * valid time.
 */
export function timeOfDay(time: string | number): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  return [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
}

/** Begins with a capital letter: "validation" -> "Validation" */
export function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What an event is called; other names in events.jsonl are words already. */
const eventNames: Readonly<Record<string, string>> = {
  hello: 'connected',
  gathering: 'gathering workers',
  running: 'training',
  first_shard: 'first result',
  lost: 'worker lost',
  lease_again: 'reassigned',
  set_aside: 'set aside',
  back: 'worker is back',
  unaudited: 'not audited',
  differing: 'results differ',
  start: 'started',
  end: 'ended',
};

/** The name of an event for people. */
export function eventName(event: string): string {
  return Object.hasOwn(eventNames, event)
    ? (eventNames[event] ?? event)
    : event.replaceAll('_', ' ');
}
