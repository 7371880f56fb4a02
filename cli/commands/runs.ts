import type { CsvRow } from '../../artifacts/report/csv.ts';
import { stderr, stdout } from '../terminal/output.ts';
import type { RunsOptions } from '../options/options.ts';
import { listRuns, type RunOverview } from '../runs/run-overview.ts';
import { runsTable } from '../terminal/runs-table.ts';

/** `mnist-dist runs`: lists the runs in a folder, newest first. Does not write any files. */
export async function runs({ runsDir, format }: RunsOptions): Promise<number> {
  const { runs, unlisted } = await listRuns(runsDir, Date.now());
  if (format === 'json') {
    stdout.json({ runs, unlisted });
    return 0;
  }
  const others = unlisted.map(({ directory, reason }) => `${directory}: ${reason}`);
  if (format === 'csv') {
    stdout.csv(csvHeads, ...runs.map(csvRow));
    stderr.write(...others.map((line) => `mnist-dist: ${line}`));
    return 0;
  }
  const lines =
    runs.length === 0
      ? [`no runs in ${runsDir} (--runs-dir)`, 'train one with: mnist-dist local']
      : runsTable(runs, stdout.columns);
  const gap = others.length === 0 ? [] : [''];
  stdout.write(...lines, ...gap, ...others);
  return 0;
}

const csvHeads = [
  'run',
  'directory',
  'state',
  'started',
  'step',
  'steps',
  'accuracy',
  'loss',
  'seconds',
  'workers',
  'engine',
  'dataset',
  'set',
];

/** Unknown values are empty cells. */
function csvRow(run: RunOverview): CsvRow {
  return [
    run.name,
    run.directory,
    run.state,
    run.started,
    run.step,
    run.steps,
    run.evaluation?.accuracy ?? '',
    run.evaluation?.loss ?? '',
    run.seconds,
    run.workers,
    run.engine ?? '',
    run.dataset,
    run.evaluation?.set ?? '',
  ];
}
