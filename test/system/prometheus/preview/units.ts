/** Formats a number in this unit, roughly as Grafana would. */
export function format(value: number, unit: string, decimals?: number): string {
  if (!Number.isFinite(value)) return 'none';
  const suffix = /^suffix:(.*)$/.exec(unit)?.[1];
  if (suffix !== undefined) return `${short(value, decimals)}${suffix}`;
  switch (unit) {
    case 'percentunit':
      return `${short(100 * value, decimals)} %`;
    case 's':
      return seconds(value, decimals);
    case 'bytes':
    case 'Bps':
      return `${scaled(value, 1024, ['', 'Ki', 'Mi', 'Gi', 'Ti'])}B${unit === 'Bps' ? '/s' : ''}`;
    case 'celsius':
      return `${short(value, decimals)} °C`;
    case 'watt':
      return `${short(value, decimals)} W`;
    case 'locale':
      return Math.round(value).toLocaleString('en');
    case 'none':
      return short(value, decimals);
    default:
      throw new Error(`the preview does not know the unit ${unit}`);
  }
}

function short(value: number, decimals?: number): string {
  return decimals === undefined ? String(Number(value.toPrecision(3))) : value.toFixed(decimals);
}

function seconds(value: number, decimals?: number): string {
  const size = Math.abs(value);
  if (size >= 3600) return `${short(value / 3600, 1)} hours`;
  if (size >= 60) return `${short(value / 60, 1)} mins`;
  if (size >= 1 || size === 0) return `${short(value, decimals)} s`;
  return size >= 0.001 ? `${short(1000 * value)} ms` : `${short(1e6 * value)} µs`;
}

function scaled(value: number, base: number, prefixes: readonly string[]): string {
  const power = Math.min(
    prefixes.length - 1,
    Math.floor(Math.log(Math.max(1, value)) / Math.log(base)),
  );
  return `${short(value / base ** power)} ${prefixes[power]}`;
}
