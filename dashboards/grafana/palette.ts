import type { OverrideJson } from './grafana-json.ts';

/** Okabe and Ito's colours, which are safe for colour-blind readers, with grey instead of black. */
export const palette = {
  orange: '#E69F00',
  sky: '#56B4E9',
  green: '#009E73',
  yellow: '#F0E442',
  blue: '#0072B2',
  vermillion: '#D55E00',
  purple: '#CC79A7',
  grey: '#8C8C8C',
} as const;

/** Colours, indexed by the last digit of a worker's name. The last two are Paul Tol's. */
const digits = [
  palette.sky,
  palette.orange,
  palette.green,
  palette.purple,
  palette.vermillion,
  palette.blue,
  palette.yellow,
  palette.grey,
  '#999933',
  '#AA4499',
] as const;

export function fixed(
  name: string,
  color: string,
  ...more: OverrideJson['properties']
): OverrideJson {
  return {
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'color', value: { mode: 'fixed', fixedColor: color } }, ...more],
  };
}

/**
 * A worker has the same colour in every panel and run, which depends on the last digit of its name
 * (the first word of the legend). A name that does not end in a digit gets a colour derived from
 * the whole name.
 */
export const workerColors: readonly OverrideJson[] = digits.map((color, digit) => ({
  matcher: { id: 'byRegexp', options: `/^\\S*${digit}(\\s|$)/` },
  properties: [{ id: 'color', value: { mode: 'fixed', fixedColor: color } }],
}));
