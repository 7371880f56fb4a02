import { ranked, type TrialResult } from './trial-results.ts';

/** How much of the differences between trials an option explains. */
export interface Importance {
  readonly option: string;
  /**
   * A ratio, 0..1: the part of the variance of the best accuracies that lies between groups of
   * trials with the same value, less what as many groups would explain by chance. Undefined if
   * there are too few trials to say.
   */
  readonly explained: number | undefined;
}

/**
 * Groups of a numeric option with more values than this are formed by size, unless each value has
 * several trials.
 */
const MAX_GROUPS = 4;

/** The varied options, the most important one first. */
export function whatMattered(
  results: readonly TrialResult[],
  options: readonly string[],
): Importance[] {
  const scored = ranked(results).map(({ values, best }) => ({ values, score: best.accuracy }));
  return options
    .map((option) => ({
      option,
      explained: explainedBy(
        scored.map(({ values, score }) => ({ value: values[option] ?? '', score })),
      ),
    }))
    .toSorted((a, b) => (b.explained ?? -1) - (a.explained ?? -1));
}

interface Scored {
  readonly value: string;
  readonly score: number;
}

/** Adjusted R squared of a one-way analysis of variance. */
export function explainedBy(scored: readonly Scored[]): number | undefined {
  const groups = groupsOf(scored);
  const [n, k] = [scored.length, groups.length];
  if (k < 2 || n <= k) return undefined;
  // The mean of equal numbers is rounded, so that their variance need not be 0.
  if (scored.every(({ score }) => score === scored[0]?.score)) return 0;
  const mean = meanOf(scored.map(({ score }) => score));
  const total = sumOf(scored.map(({ score }) => (score - mean) ** 2));
  const within = sumOf(
    groups.map((group) => {
      const own = meanOf(group);
      return sumOf(group.map((score) => (score - own) ** 2));
    }),
  );
  return Math.max(0, 1 - within / (n - k) / (total / (n - 1)));
}

function groupsOf(scored: readonly Scored[]): number[][] {
  const groups = grouped(scored);
  const isNumeric = scored.every(({ value }) => value !== '' && Number.isFinite(Number(value)));
  const equal = [...groups.values()].map((group) => group.map(({ score }) => score));
  const areRepeated = scored.length >= 2 * groups.size;
  if (groups.size <= MAX_GROUPS || areRepeated || !isNumeric) return equal;
  return bySize(groups, Math.min(MAX_GROUPS, Math.floor(scored.length / 2)));
}

/** Groups of about equally many trials; those with the same value are in the same one. */
function bySize(groups: ReadonlyMap<string, readonly Scored[]>, count: number): number[][] {
  const sorted = [...groups].toSorted(([a], [b]) => Number(a) - Number(b));
  const trials = sumOf(sorted.map(([, group]) => group.length));
  const joined = new Map<number, number[]>();
  let before = 0;
  for (const [, group] of sorted) {
    const at = Math.floor(((before + group.length / 2) * count) / trials);
    joined.set(at, [...(joined.get(at) ?? []), ...group.map(({ score }) => score)]);
    before += group.length;
  }
  return [...joined.values()];
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

function meanOf(values: readonly number[]): number {
  return sumOf(values) / values.length;
}

function grouped(scored: readonly Scored[]): Map<string, Scored[]> {
  const groups = new Map<string, Scored[]>();
  for (const each of scored) groups.set(each.value, [...(groups.get(each.value) ?? []), each]);
  return groups;
}
