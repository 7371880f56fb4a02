// `npm run sim -- --seeds 20000` simulates 20,000 clusters. `--seed N` starts at seed N; without
// `--seeds`, only that seed is simulated.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { explain, prepare } from '../../bin/bootstrap.mjs';

process.exitCode = await simulate().catch((error) => explain(error));

async function simulate() {
  const { values } = parseArgs({
    options: { seed: { type: 'string' }, seeds: { type: 'string' } },
  });
  const first = Number(values.seed ?? 1);
  const seeds = Number(values.seeds ?? (values.seed === undefined ? 500 : 1));
  if (!Number.isInteger(first) || !Number.isInteger(seeds) || first < 0 || seeds < 1) {
    process.stderr.write('sim: --seed and --seeds take integers\n');
    return 2;
  }
  await prepare();
  const { status } = spawnSync('node_modules/.bin/vitest', ['run', '--project', 'simulation'], {
    stdio: 'inherit',
    env: {
      ...process.env,
      MNIST_DIST_SIM_SEED: String(first),
      MNIST_DIST_SIM_SEEDS: String(seeds),
    },
  });
  return status ?? 1;
}
