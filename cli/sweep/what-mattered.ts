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

/** Groups of a numeric option with more values than this are formed by size. */
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
  const mean = meanOf(scored.map(({ score }) => score));
  const total = sumOf(scored.map(({ score }) => (score - mean) ** 2));
  if (total === 0) return 0;
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
  if (groups.size <= MAX_GROUPS || !isNumeric)
    return [...groups.values()].map((group) => group.map(({ score }) => score));
  const sorted = scored.toSorted((a, b) => Number(a.value) - Number(b.value));
  const count = Math.min(MAX_GROUPS, Math.floor(scored.length / 2));
  return Array.from({ length: count }, (_, i) =>
    sorted
      .slice(Math.round((i * sorted.length) / count), Math.round(((i + 1) * sorted.length) / count))
      .map(({ score }) => score),
  );
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
