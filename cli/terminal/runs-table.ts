import { unreachable } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { columnsOf, padLeft, padRight } from './columns.ts';
import { joined, paint, shortened, type Line, type Look } from './styled-line.ts';
import { count, duration, percent } from '../../shared/text/number-format.ts';
import type { RunOverview } from '../runs/run-overview.ts';

const MAX_DATASET_COLUMNS = 16;
const GAP = '  ';

interface Column {
  readonly head: string;
  readonly isNumber?: boolean;
  /**
   * Columns with the highest number are left out first when the table is too wide; those with 0 are
   * always kept.
   */
  readonly dropped: number;
  text(run: RunOverview): string;
}

const columns: readonly Column[] = [
  { head: 'run', dropped: 0, text: ({ name }) => printable(name) },
  { head: 'state', dropped: 0, text: ({ state }) => state },
  { head: 'steps', isNumber: true, dropped: 1, text: stepsText },
  {
    head: 'accuracy',
    isNumber: true,
    dropped: 0,
    text: accuracyText,
  },
  { head: 'time', isNumber: true, dropped: 2, text: ({ seconds }) => duration(seconds) },
  { head: 'workers', isNumber: true, dropped: 4, text: ({ workers }) => String(workers) },
  {
    head: 'engine',
    dropped: 3,
    text: ({ engine }) => shortened(engine ?? '-', MAX_DATASET_COLUMNS),
  },
  { head: 'dataset', dropped: 5, text: ({ dataset }) => shortened(dataset, MAX_DATASET_COLUMNS) },
];

/**
 * A header line and a line for each run. Columns are left out, the least important first, until the
 * table is at most `width` wide.
 */
export function runsTable(runs: readonly RunOverview[], width: number): Line[] {
  let shown = columns.map((column) => ({ ...column, cells: runs.map((run) => column.text(run)) }));
  const widthOf = ({ head, cells }: { head: string; cells: readonly string[] }) =>
    Math.max(head.length, ...cells.map(columnsOf));
  const total = () =>
    shown.reduce((sum, column) => sum + widthOf(column) + GAP.length, -GAP.length);
  while (total() > width && shown.some(({ dropped }) => dropped > 0)) {
    const worst = Math.max(...shown.map(({ dropped }) => dropped));
    shown = shown.filter(({ dropped }) => dropped !== worst);
  }
  const padded = (column: (typeof shown)[number], text: string) =>
    column.isNumber === true ? padLeft(text, widthOf(column)) : padRight(text, widthOf(column));
  return [
    [
      paint(
        shown
          .map((column) => padded(column, column.head))
          .join(GAP)
          .trimEnd(),
        'dim',
      ),
    ],
    ...runs.map((run, row) =>
      joined(
        shown.map((column, index) => {
          const cell = padded(column, column.cells[row] ?? '');
          const text = index === shown.length - 1 ? cell.trimEnd() : cell;
          return column.head === 'state' ? [paint(text, lookOf(run.state))] : text;
        }),
        GAP,
      ),
    ),
  ];
}

/** The accuracy on the test set, unless it says that the set is another one. */
export function accuracyText({ evaluation }: RunOverview): string {
  if (evaluation === undefined) return '-';
  const { set, accuracy } = evaluation;
  return `${set === 'test' ? '' : `${set} `}${percent(accuracy)}`;
}

/** `5,625` for a complete run, otherwise `1,200 of 5,625`. */
export function stepsText({ step, steps }: RunOverview): string {
  return step === steps ? count(steps) : `${count(step)} of ${count(steps)}`;
}

function lookOf(state: RunOverview['state']): Look {
  switch (state) {
    case 'finished':
      return 'green';
    case 'running':
      return 'cyan';
    case 'interrupted':
    case 'failed':
    case 'diverged':
      return 'yellow';
    default:
      return unreachable(state);
  }
}
