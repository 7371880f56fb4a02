/** Formats numbers for people, in the same way in every locale. */
const NONE = '–';
const grouping = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** 9375.2 -> "9,375" */
export function count(value: number | undefined): string {
  return isNumber(value) ? grouping.format(value) : NONE;
}

/** "1 worker", "2 workers" */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** 0.97624 -> "97.62 %". Never rounded up to 100 %. */
export function percent(ratio: number | undefined, digits = 2): string {
  if (!isNumber(ratio)) return NONE;
  const text = (100 * ratio).toFixed(digits);
  const isRoundedUp = ratio < 1 && Number(text) === 100;
  return `${isRoundedUp ? (100 - 10 ** -digits).toFixed(digits) : text} %`;
}

/** 0.0812345 -> "0.0812", 2.30258 -> "2.303" */
export function fourDigits(value: number): string {
  if (!isNumber(value)) return NONE;
  return Math.abs(value) < 1 ? value.toFixed(4) : value.toPrecision(4);
}

/** 75 -> "1:15", 3725 -> "1:02:05" */
export function duration(seconds: number | undefined): string {
  if (!isNumber(seconds)) return NONE;
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [
    Math.floor(whole / 3600),
    Math.floor(whole / 60) % 60,
    whole % 60,
  ];
  const two = (part: number) => String(part).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function isNumber(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value);
}

/** 2234567 -> "2.2 MB". */
export function bytesText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;
  const power = units.findLastIndex((_, i) => bytes >= 1000 ** i);
  if (power <= 0) return `${bytes} bytes`;
  return `${(bytes / 1000 ** power).toFixed(1)} ${units[power]}`;
}
