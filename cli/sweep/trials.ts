import { hash } from 'node:crypto';
import { MAX_TRIALS } from '../../shared/limits/sweep.ts';
import { assert } from '../../shared/errors.ts';
import { optionOf, type OptionKey } from '../options/options.ts';
import { givenByFile, type Given } from '../options/origin.ts';
import { refused } from '../options/yaml-file.ts';
import type { SweepFile, ValueRange, Varied } from './sweep-file.ts';

/** One trial of a sweep. */
export interface Trial {
  /** The id of its run: trial-001. */
  readonly run: string;
  /** The values of the varied options, in the order of the file. */
  readonly values: ReadonlyMap<OptionKey, Given>;
}

/** Digits of a drawn number: enough for a search, and short in tables and in commands. */
const DRAWN_DIGITS = 4;

/**
 * The trials of a sweep, in order. A grid varies the last option fastest. Throws USAGE if there are
 * too many.
 */
export function trialsOf({ file, search, vary }: SweepFile): Trial[] {
  if (search.kind === 'random') {
    const { seed } = search;
    return Array.from({ length: search.trials }, (_, i) =>
      trial(
        i + 1,
        vary.map((varied) => drawn(varied, seed, i + 1)),
        vary,
      ),
    );
  }
  const lists = vary.map(({ from }) => {
    assert('length' in from, 'a grid has lists of values');
    return from;
  });
  const count = lists.reduce((product, { length }) => product * length, 1);
  if (count > MAX_TRIALS)
    throw refused(
      file,
      `the grid has ${count} combinations, more than ${MAX_TRIALS} trials (MAX_TRIALS)`,
      'list fewer values, or draw some of them: "search: random" and "trials: 12"',
    );
  return Array.from({ length: count }, (_, i) => trial(i + 1, combination(lists, i), vary));
}

function trial(number: number, givens: readonly Given[], vary: readonly Varied[]): Trial {
  const values = new Map<OptionKey, Given>();
  vary.forEach(({ key }, i) => {
    const given = givens[i];
    if (given !== undefined) values.set(key, given);
  });
  return { run: `trial-${String(number).padStart(3, '0')}`, values };
}

/** Combination `index` of one value from each list; the last list varies fastest. */
function combination(lists: readonly (readonly Given[])[], index: number): Given[] {
  let rest = index;
  const reversed = lists.toReversed().flatMap((list) => {
    const given = list[rest % list.length];
    rest = Math.floor(rest / list.length);
    return given === undefined ? [] : [given];
  });
  return reversed.toReversed();
}

function drawn({ key, name, at, from }: Varied, seed: number, number: number): Given {
  const ratio = ratioOf(seed, number, name);
  if (!('low' in from)) {
    const given = from[Math.floor(ratio * from.length)];
    assert(given !== undefined, 'a list has values');
    return given;
  }
  const value = between(from, ratio);
  // Written as the option itself writes it, so that the same value is always the same text.
  const { type } = optionOf(key);
  const parsed = type.parse(String(value));
  assert(parsed !== undefined && parsed !== null, `${name} takes ${value}, between its limits`);
  return givenByFile(at, name, type.format(parsed));
}

function between({ low, high, isLogarithmic, isWhole }: ValueRange, ratio: number): number {
  if (isWhole && !isLogarithmic) return low + Math.floor(ratio * (high - low + 1));
  const value = isLogarithmic
    ? Math.exp(Math.log(low) + ratio * (Math.log(high) - Math.log(low)))
    : low + ratio * (high - low);
  const rounded = isWhole ? Math.round(value) : Number(value.toPrecision(DRAWN_DIGITS));
  return Math.min(high, Math.max(low, rounded));
}

/**
 * A ratio in [0, 1): the first 48 bits of a SHA-256, so that it is the same on every machine and in
 * every version. It depends on the seed, the trial and the option's name alone: more trials or
 * another order of options do not change what is drawn.
 */
export function ratioOf(seed: number, trialNumber: number, name: string): number {
  const digest = hash('sha256', `mnist-dist sweep 1\n${seed}\n${trialNumber}\n${name}`, 'buffer');
  return digest.readUIntBE(0, 6) / 2 ** 48;
}
