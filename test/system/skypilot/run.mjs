// `npm run test:skypilot`: checks deploy/skypilot with SkyPilot's own parser, and runs its set-up.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';

process.exitCode = await testSkyPilot().catch((error) => explain(error));

async function testSkyPilot() {
  await prepare();
  const run = (program, args) =>
    spawnSync(join(root, program), args, { cwd: root, stdio: 'inherit' }).status ?? 1;
  const config = join('test', 'system', 'skypilot', 'vitest.config.ts');
  return (
    run('test/install-skypilot.sh', []) ||
    run('node_modules/.bin/vitest', ['run', '--config', config])
  );
}
