import { printable } from './printable.ts';
import type { RunsOptions } from './options.ts';
import { listRuns } from './run-overview.ts';
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
  const lines =
    runs.length === 0
      ? [`There is no run in ${printable(runsDir)} (--runs-dir).`, 'Train one with: mnist-dist local']
      : runsTable(runs, columnsOf(process.stdout), styleOf(process.stdout, process.env));
  const others = unlisted.map(({ directory, reason }) => `${printable(directory)}: ${printable(reason)}`);
  const gap = others.length === 0 ? [] : [''];
  process.stdout.write(`${[...lines, ...gap, ...others].join('\n')}\n`);
  return 0;
}
