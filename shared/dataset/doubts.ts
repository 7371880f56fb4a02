import type { Dataset, Samples } from './dataset.ts';
import { count } from '../text/number-format.ts';

/** Names of classes in a message; further ones are counted. */
const MAX_NAMED = 5;

type Sets = Pick<Dataset, 'classNames' | 'train' | 'test'>;

/** Reasons to doubt that a dataset is what its user means, each as the text of a warning. */
export function doubtsAbout({ classNames, train, test }: Sets): string[] {
  const sets = { training: train, test };
  const lacking = [
    lackOf('test', 'training', sets, classNames),
    lackOf('training', 'test', sets, classNames),
  ];
  const isBlack = !train.images.some((pixel) => pixel > 1);
  const black = isBlack ? ['no pixel is above 1, but pixels are 0 to 255: multiply them'] : [];
  return [...lacking.filter((text) => text !== undefined), ...black];
}

/** A warning if a set lacks classes that another set has; undefined if it has all of them. */
export function lackOf<S extends string>(
  set: S,
  other: S,
  sets: Readonly<Record<S, Pick<Samples, 'labels'>>>,
  classNames: readonly string[],
): string | undefined {
  const had = new Set(sets[set].labels);
  const missing = [...new Set(sets[other].labels)].filter((label) => !had.has(label));
  if (missing.length === 0) return undefined;
  const names = missing.toSorted((a, b) => a - b).map((label) => classNames[label] ?? `${label}`);
  const more = names.length - MAX_NAMED;
  const shown = more > 0 ? [...names.slice(0, MAX_NAMED), `${more} more`] : names;
  const noun = names.length === 1 ? 'class' : 'classes';
  return (
    `the ${set} set has no sample of the ${noun} ${shown.join(', ')}, ` +
    `which the ${other} set has: shuffle the rows`
  );
}

/** What is wrong with a training set of a single class; undefined if it has several. */
export function singleClass({ classNames, train }: Sets): string | undefined {
  const [label] = train.labels;
  if (label === undefined || train.labels.some((other) => other !== label)) return undefined;
  return `all ${count(train.samples)} training samples are of the class ${classNames[label]}`;
}
