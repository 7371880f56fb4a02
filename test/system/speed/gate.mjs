// `npm run bench:gate`: compares the speed of this checkout with that of an earlier commit, in
// pairs of runs that alternate, and prints the medians and their ratio. It checks the earlier
// commit out into a temporary folder and installs it there. Options, with their defaults:
//   --against HEAD~1   --batch 32,256   --processes 1,2   --pairs 7   --steps 2000
// --option=--no-shared-memory passes an option to all runs; it can be given several times.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';
import { median, numbers, run, trainWith } from './runs.mjs';

process.exitCode = await compareCommits().catch((error) => explain(error));

async function compareCommits() {
  const { values } = parseArgs({
    options: {
      against: { type: 'string', default: 'HEAD~1' },
      batch: { type: 'string', default: '32,256' },
      processes: { type: 'string', default: '1,2' },
      pairs: { type: 'string', default: '7' },
      steps: { type: 'string', default: '2000' },
      option: { type: 'string', multiple: true, default: [] },
    },
  });
  await prepare();
  const scratch = mkdtempSync(join(tmpdir(), 'mnist-dist-gate-'));
  const earlier = join(scratch, 'earlier');
  git('worktree', 'add', '--detach', earlier, values.against);
  try {
    // The first commands of each checkout also install, build and compile it.
    for (const checkout of [earlier, root])
      await run(process.execPath, [join(checkout, 'bin', 'mnist-dist.mjs'), 'setup', '--cpu']);
    process.stdout.write(`steps/s against ${git('rev-parse', '--short', values.against)}\n\n`);
    process.stdout.write('| batch | processes | before | now | now / before | same weights |\n');
    process.stdout.write('|---|---|---|---|---|---|\n');
    for (const batch of numbers(values.batch))
      for (const processes of numbers(values.processes)) {
        const cell = { batch, processes, steps: Number(values.steps), options: values.option };
        const pairs = await measure([earlier, root], scratch, cell, Number(values.pairs));
        process.stdout.write(rowOf(cell, pairs));
      }
    return 0;
  } finally {
    git('worktree', 'remove', '--force', earlier);
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Pairs of results, [before, now]; the order within a pair alternates. */
async function measure(checkouts, scratch, cell, pairs) {
  const results = [];
  for (let pair = 0; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? [0, 1] : [1, 0];
    const both = [];
    for (const which of order) both[which] = await trainWith(checkouts[which], scratch, cell);
    results.push(both);
    const [before, now] = both.map(({ stepsPerSecond }) => Math.round(stepsPerSecond));
    const { batch, processes } = cell;
    process.stderr.write(`batch ${batch}, ${processes} processes: ${before}, now ${now}\n`);
  }
  return results;
}

function rowOf({ batch, processes }, pairs) {
  const rates = (which) => pairs.map((both) => both[which].stepsPerSecond);
  const ratio = median(pairs.map(([before, now]) => now.stepsPerSecond / before.stepsPerSecond));
  const isSame = pairs.every(([before, now]) => before.weights === now.weights);
  const cells = [
    batch,
    processes,
    Math.round(median(rates(0))),
    Math.round(median(rates(1))),
    ratio.toFixed(3),
    isSame ? 'yes' : 'NO',
  ];
  return `| ${cells.join(' | ')} |\n`;
}

/** Runs git in this checkout, and returns what it printed. */
function git(...args) {
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`git ${args.join(' ')}: ${stderr.trim()}`);
  return stdout.trim();
}
