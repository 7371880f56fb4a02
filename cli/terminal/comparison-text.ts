import { accuracyText, stepsText } from './runs-table.ts';
import { count, duration } from '../../shared/text/number-format.ts';
import { printable } from '../../shared/printable.ts';
import type { ComparedRun, Comparison, SameRecipe, StepDifference } from '../runs/compare-runs.ts';
import { columnsOf, padLeft, padRight } from './columns.ts';
import { shortened } from './styled-line.ts';

const MAX_CELL_COLUMNS = 32;
const GAP = '  ';

/** The comparison as lines: a column for each run, then what two equal recipes computed. */
export function comparisonText({ runs, differences, pairs }: Comparison): string[] {
  const rows = [
    ['', ...runs.map(({ name }) => name)],
    ...facts.map(({ head, text }) => [head, ...runs.map(text)]),
  ];
  const settings = differences.map(({ setting, values }) => [
    setting.replaceAll('_', ' '),
    ...values.map((value) => value ?? '-'),
  ]);
  const lines = table([...rows, ...settings], rows.length);
  const same = pairs.flatMap(pairLines);
  return [...lines, ...(same.length === 0 ? [] : ['', ...same])];
}

const facts: readonly { readonly head: string; readonly text: (run: ComparedRun) => string }[] = [
  { head: 'state', text: ({ state }) => state },
  { head: 'steps', text: stepsText },
  { head: 'accuracy', text: accuracyText },
  { head: 'loss', text: ({ evaluation }) => evaluation?.loss.toFixed(4) ?? '-' },
  { head: 'time', text: ({ seconds }) => duration(seconds) },
  { head: 'steps/s', text: ({ stepsPerSecond: rate }) => (rate === undefined ? '-' : count(rate)) },
  { head: 'workers', text: ({ workers }) => String(workers) },
  { head: 'engine', text: ({ engine }) => engine ?? '-' },
];

/** Rows with aligned columns; a heading goes before the row with the number `settingsAt`. */
function table(rows: readonly (readonly string[])[], settingsAt: number): string[] {
  const cells = rows.map((row) => row.map((cell) => shortened(printable(cell), MAX_CELL_COLUMNS)));
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((row) => columnsOf(row[column] ?? ''))),
  );
  const lines = cells.map((row) =>
    row
      .map((cell, i) => (i === 0 ? padRight(cell, widths[i] ?? 0) : padLeft(cell, widths[i] ?? 0)))
      .join(GAP),
  );
  const settings = lines.slice(settingsAt);
  const heading = settings.length === 0 ? [] : ['', 'What differs in the recipes:'];
  return [...lines.slice(0, settingsAt), ...heading, ...settings];
}

function pairLines({ runs: [first, other], ...pair }: SameRecipe): string[] {
  const { equalSteps, difference, damage } = pair;
  const names = `${printable(first)} and ${printable(other)} have the same recipe`;
  if (difference === undefined)
    return [
      `${names}, and equal results in ${count(equalSteps)} steps.`,
      ...(damage === undefined ? [] : [`  ${printable(damage)}`]),
    ];
  return [`${names}, but part at step ${count(difference.step)}: ${differenceText(difference)}.`];
}

function differenceText({ recorded: [a, b] }: StepDifference): string {
  if (a.loss !== b.loss) return `losses ${a.loss} and ${b.loss}`;
  if (a.correct !== b.correct) return `${a.correct} and ${b.correct} correct predictions`;
  if (a.weights !== b.weights) return `weights with checksums ${a.weights} and ${b.weights}`;
  return 'their chain links';
}
