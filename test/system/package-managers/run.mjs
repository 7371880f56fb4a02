// `npm run test:package-managers`: installs the package with npm 10, npm 11, pnpm and yarn classic,
// and trains. It downloads about 400 MB and takes minutes.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';

process.exitCode = await testPackageManagers().catch((error) => explain(error));

async function testPackageManagers() {
  await prepare();
  const { main } = await import('../../../dist/cli/main.js');
  const status = await main(['setup', '--cpu']);
  if (status !== 0) return status;
  const vitest = join(root, 'node_modules', '.bin', 'vitest');
  const config = join('test', 'system', 'package-managers', 'vitest.config.ts');
  const args = ['run', '--config', config, '--reporter=verbose', ...process.argv.slice(2)];
  return spawnSync(vitest, args, { cwd: root, stdio: 'inherit' }).status ?? 1;
}
