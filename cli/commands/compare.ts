import type { CsvRow } from '../../artifacts/report/csv.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { CommandLine, CompareOptions } from '../options/options.ts';
import { chooseRun } from '../runs/choose-run.ts';
import { compareRuns, type Comparison } from '../runs/compare-runs.ts';
import { comparisonText } from '../terminal/comparison-text.ts';
import { stdout } from '../terminal/output.ts';
import { runsCsvRow, type RunsCsvColumn } from '../terminal/runs-csv.ts';

/** `mnist-dist compare`: prints several runs next to each other. Writes no files. */
export async function compare(
  { runsDir, format }: CompareOptions,
  { operands }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  const directories = operands.map((named) => chooseRun(named, runsDir));
  if (directories.length < 2)
    throw new ClusterError('USAGE', 'one run cannot be compared', {
      fix: 'name at least two runs; "mnist-dist runs" lists them',
    });
  const comparison = await compareRuns(directories, Date.now());
  switch (format) {
    case 'json':
      stdout.json(comparison);
      return 0;
    case 'csv':
      stdout.csv(...csvRows(comparison));
      return 0;
    case 'text':
      stdout.write(...comparisonText(comparison));
      return 0;
  }
}

const csvHeads: readonly RunsCsvColumn[] = [
  'run',
  'directory',
  'state',
  'step',
  'steps',
  'accuracy',
  'loss',
  'set',
  'seconds',
];

/** A row for each run, with a column for each setting that differs. */
function csvRows({ runs, differences }: Comparison): CsvRow[] {
  return [
    [...csvHeads, 'steps_per_second', ...differences.map(({ setting }) => setting)],
    ...runs.map((run, i) => [
      ...runsCsvRow(run, csvHeads),
      run.stepsPerSecond ?? '',
      ...differences.map(({ values }) => values[i] ?? ''),
    ]),
  ];
}
