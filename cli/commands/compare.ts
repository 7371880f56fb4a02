import { ClusterError } from '../../shared/errors.ts';
import type { CommandLine, CompareOptions } from '../options/options.ts';
import { chooseRun } from '../runs/choose-run.ts';
import { compareRuns, type Comparison } from '../runs/compare-runs.ts';
import { comparisonText } from '../terminal/comparison-text.ts';
import { stdout } from '../terminal/output.ts';

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

/** A row for each run, with a column for each setting that differs. */
function csvRows({ runs, differences }: Comparison): (string | number)[][] {
  const heads = [
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
  return [
    [...heads, 'steps_per_second', ...differences.map(({ setting }) => setting)],
    ...runs.map((run, i) => [
      run.name,
      run.directory,
      run.state,
      run.step,
      run.steps,
      run.evaluation?.accuracy ?? '',
      run.evaluation?.loss ?? '',
      run.evaluation?.set ?? '',
      run.seconds,
      run.stepsPerSecond ?? '',
      ...differences.map(({ values }) => values[i] ?? ''),
    ]),
  ];
}
