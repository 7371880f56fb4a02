import { printedCsv } from '../artifacts/csv.ts';
import { printable } from './printable.ts';
import type { RunsOptions } from './options.ts';
import { listRuns, type RunOverview } from './run-overview.ts';
import { runsTable } from './runs-table.ts';
import { styleOf } from './style.ts';
import { columnsOf } from './screen.ts';

/** `mnist-dist runs`: what is in a folder of runs, the newest first. Reads only. */
export async function runs({ runsDir, format }: RunsOptions): Promise<number> {
  const { runs, unlisted } = await listRuns(runsDir, Date.now());
  if (format === 'json') {
    process.stdout.write(`${JSON.stringify({ runs, unlisted }, undefined, 2)}\n`);
    return 0;
  }
  const others = unlisted.map(({ directory, reason }) => `${printable(directory)}: ${printable(reason)}`);
  if (format === 'csv') {
    process.stdout.write(runsCsv(runs));
    process.stderr.write(others.map((line) => `mnist-dist: ${line}\n`).join(''));
    return 0;
  }
  const lines =
    runs.length === 0
      ? [`There is no run in ${printable(runsDir)} (--runs-dir).`, 'Train one with: mnist-dist local']
      : runsTable(runs, columnsOf(process.stdout), styleOf(process.stdout, process.env));
  const gap = others.length === 0 ? [] : [''];
  process.stdout.write(`${[...lines, ...gap, ...others].join('\n')}\n`);
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
];

/** A line for each run; what is not known is empty. */
function runsCsv(runs: readonly RunOverview[]): string {
  const rows = runs.map((run) => [
    run.name,
    run.directory,
    run.state,
    run.started,
    run.step,
    run.steps,
    run.test?.accuracy ?? '',
    run.test?.loss ?? '',
    run.seconds,
    run.workers,
    run.engine ?? '',
    run.dataset,
  ]);
  return printedCsv([csvHeads, ...rows]);
}
