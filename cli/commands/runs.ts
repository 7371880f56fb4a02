import { stderr, stdout } from '../terminal/output.ts';
import type { RunsOptions } from '../options/options.ts';
import { listRuns } from '../runs/run-overview.ts';
import { runsCsvRow, type RunsCsvColumn } from '../terminal/runs-csv.ts';
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
    stdout.csv(csvHeads, ...runs.map((run) => runsCsvRow(run, csvHeads)));
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

const csvHeads: readonly RunsCsvColumn[] = [
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
