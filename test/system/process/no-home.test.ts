import { spawn, spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { expect, it } from 'vitest';
import { executable, follow } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** A user id that is not in passwd. */
const OTHER_USER = { uid: 54_321, gid: 54_321 };
const canBecome =
  process.getuid?.() === 0 &&
  spawnSync('cat', [executable], { ...OTHER_USER, stdio: 'ignore' }).status === 0;
const why = canBecome ? '' : ' (skipped: needs root, and a checkout that others can read)';

it.skipIf(!canBecome)(
  `a user without a name or a home can train, and the workers find the token${why}`,
  async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o777);
    const variables = /^(HOME|XDG_CACHE_HOME|MNIST_DIST_|npm_|INIT_CWD)/;
    const environment = {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !variables.test(name))),
      TMPDIR: folder,
      MNIST_DIST_PICTURES: 'no',
      MNIST_DIST_ENGINE: 'reference',
    };
    const start = (args: readonly string[]) =>
      follow(
        spawn(process.execPath, [executable, ...args], {
          ...OTHER_USER,
          env: environment,
          cwd: folder,
          stdio: 'pipe',
        }),
      );
    const recipe = ['--steps', '20', '--hidden', '8', '--no-http', '--port', '0'];
    const coordinator = start(['coordinator', ...recipe]);
    const [, url = ''] = await coordinator.says(/--coordinator (ws:\S+)/);
    const worker = start(['worker', '--coordinator', url]);
    expect(await coordinator.exited, coordinator.output()).toBe(0);
    expect(await worker.exited, worker.output()).toBe(0);
  },
);
