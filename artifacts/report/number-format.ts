/** Numbers as people read them. No locale: the same text everywhere. */

/** 9375 -> "9,375" */
export function count(value: number): string {
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** 0.97624 -> "97.62 %". Never rounded up to a hundred. */
export function percent(ratio: number, digits = 2): string {
  if (!Number.isFinite(ratio)) return '–';
  const text = (100 * ratio).toFixed(digits);
  return `${ratio < 1 && Number(text) === 100 ? (100 - 10 ** -digits).toFixed(digits) : text} %`;
}

/** 0.0812345 -> "0.0812", 2.30258 -> "2.303" */
export function fourDigits(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) < 1 ? value.toFixed(4) : value.toPrecision(4);
}
