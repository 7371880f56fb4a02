// `npm run test:ray`: installs Ray into .mnist-dist/ray and runs deploy/ray on a cluster of
// machines in namespaces. Arguments are passed to vitest.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';

process.exitCode = await testRay().catch((error) => explain(error));

async function testRay() {
  await prepare();
  if (run('test/system/ray/install.sh', []) !== 0) return 1;
  const config = join('test', 'system', 'ray', 'vitest.config.ts');
  const vitest = join(root, 'node_modules', '.bin', 'vitest');
  return run(vitest, ['run', '--config', config, ...process.argv.slice(2)]);
}

function run(program, args) {
  return spawnSync(program, args, { cwd: root, stdio: 'inherit' }).status ?? 1;
}
