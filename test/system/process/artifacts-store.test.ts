import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { childOf } from '../../fixtures/processes/children.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { newRun, QUICK_RECIPE, quickLocal } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

// The test machine's own settings must not affect the tests.
const OWN = { AWS_PROFILE: undefined, AWS_ENDPOINT_URL: undefined, AWS_ENDPOINT_URL_S3: undefined };
const KEYS = {
  ...OWN,
  AWS_ACCESS_KEY_ID: 'key',
  AWS_SECRET_ACCESS_KEY: 'hunter2',
  AWS_REGION: 'us-east-1',
};
const NO_REGION = {
  ...OWN,
  AWS_REGION: undefined,
  AWS_DEFAULT_REGION: undefined,
  AWS_CONFIG_FILE: '/nowhere/config',
};

it.each<[string, (folder: string) => string, NodeJS.ProcessEnv, keyof typeof errorTable, RegExp]>([
  [
    'the folder that contains the runs',
    (folder) => `file:${folder}/runs`,
    {},
    'USAGE',
    /r is also the destination of the push/,
  ],
  [
    'a file',
    (folder) => `file:${folder}/file`,
    {},
    'STORE',
    /file\/r\/manifest.json could not be read: ENOTDIR/,
  ],
  ['no region', () => 's3://bucket/x', NO_REGION, 'USAGE', /no region is set for s3:/],
  [
    'an address with a user',
    () => 's3://bucket/x',
    { ...KEYS, AWS_ENDPOINT_URL: 'http://user:hunter2@127.0.0.1:1' },
    'USAGE',
    /AWS_ENDPOINT_URL=\.\.\.@127\.0\.0\.1:1 contains a user or a password/,
  ],
])(
  'an invalid store fails a run before it begins: %s',
  async (_what, uri, environment, code, says) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    const runs = join(folder, 'runs');
    for (const command of [quickLocal(runs), ['coordinator', ...newRun(runs), ...QUICK_RECIPE]]) {
      const args = ['--no-http', '--steps', '3', '--artifacts', uri(folder)];
      const { code: exit, output } = await run([...command, ...args], environment);
      expect(exit, output).toBe(errorTable[code].exit);
      expect(output).toMatch(says);
      expect(output).not.toContain('hunter2');
      expect(readdirSync(folder)).toEqual(['file']);
    }
  },
);

it('a run trains and warns when its store does not answer', async () => {
  const runs = temporaryFolder();
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const { code, output } = await run(
    [...quickLocal(runs), '--no-http', '--steps', '3', '--artifacts', 's3://bucket/x'],
    { ...KEYS, AWS_ENDPOINT_URL: endpoint },
  );
  expect(output).toContain(`${endpoint} does not answer (ECONNREFUSED); the run starts anyway`);
  expect(code, output).toBe(errorTable.STORE.exit);
  expect(readRun(join(runs, 'r')).record.state).toBe('finished');
});

it('a run resumes after a crash even if its store does not answer', async () => {
  const folder = temporaryFolder();
  const store = join(folder, 'store');
  const options = ['--no-http', '--steps', '600', '-n', '1', '--artifacts', `file:${store}`];
  const local = start([...quickLocal(join(folder, 'runs')), ...options]);
  await local.says(/delivered its first shard/);
  writeFileSync(store, 'in the way');
  process.kill(childOf(local, 'coordinator'), 'SIGKILL');
  await local.says(/ENOTDIR.*; the run starts anyway/);
  expect(await local.exited, local.output()).toBe(errorTable.STORE.exit);
  expect(readRun(join(folder, 'runs', 'r')).record).toMatchObject({ state: 'finished', term: 2 });
});
