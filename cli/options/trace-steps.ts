import { MAX_STEPS } from '../../shared/limits.ts';
import type { TracedSteps } from '../../shared/wire/traced-steps.ts';
import type { ValueType } from './value-types.ts';

/** The limits of `--trace-steps`: the first and the last step, such as 101..200. */
export const traceSteps: ValueType<TracedSteps> = {
  metavar: 'FROM..TO',
  allowed: `two whole numbers from 1 to ${MAX_STEPS} in order, such as 101..200`,
  words: [],
  /** Other programs separate the two in other ways. */
  meant(text) {
    const [from, to, ...rest] = text.match(/\d+/g) ?? [];
    const whole = `${from}..${to}`;
    return rest.length === 0 && windowOf(whole) !== undefined ? whole : undefined;
  },
  parse: windowOf,
  format: ({ from, to }) => `${from}..${to}`,
};

function windowOf(text: string): TracedSteps | undefined {
  const match = /^(\d{1,12})\.\.(\d{1,12})$/.exec(text);
  if (match === null) return undefined;
  const [from, to] = [Number(match[1]), Number(match[2])];
  return from >= 1 && from <= to && to <= MAX_STEPS ? { from, to } : undefined;
}
