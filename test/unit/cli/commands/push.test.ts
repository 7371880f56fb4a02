import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { pull } from '../../../../cli/commands/pull.ts';
import { push } from '../../../../cli/commands/push.ts';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import { captured } from '../../../fixtures/captured-output.ts';
import { filesUnder, makeRun, resultsOfRun, RUN } from '../../../fixtures/store/stored-run.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

let folder: string;
let printed: ReturnType<typeof captured>;
const options = { config: undefined, runsDir: '', logLevel: 'info', logFormat: 'text' } as const;
beforeEach(() => {
  folder = temporaryFolder();
  printed = captured();
});

it('push and pull report what they transferred, and push prints the pull command', async () => {
  const run = makeRun(join(folder, 'runs'));
  const uri = `file:${join(folder, 'store')}`;
  expect(await push(options, { operands: [run, uri] })).toBe(0);
  expect(printed.out).toContain(`${run} is at ${uri}/${RUN}: 8 files, `);
  expect(printed.out).toContain(`\ndownload it with: mnist-dist pull ${uri}/${RUN}\n`);
  expect(
    await pull({ ...options, runsDir: join(folder, 'new') }, { operands: [`${uri}/${RUN}`] }),
  ).toBe(0);
  expect(filesUnder(join(folder, 'new', RUN))).toEqual(resultsOfRun);
  expect(await pull(options, { operands: [`${uri}/${RUN}`, join(folder, 'new', RUN)] })).toBe(0);
  expect(printed.out).toContain('fetched now: 0 files, 0 bytes\n');
});

it('push rejects a run that a coordinator is running', async () => {
  const run = makeRun(join(folder, 'runs'));
  writeFileSync(join(run, 'lock.json'), JSON.stringify(systemProcesses.self()));
  const uri = `file:${join(folder, 'store')}`;
  await expect(push(options, { operands: [run, uri] })).rejects.toMatchObject({ code: 'LOCKED' });
});

it('push and pull reject an invalid URI before anything else', async () => {
  await expect(push(options, { operands: ['nowhere', 'nothing'] })).rejects.toMatchObject({
    code: 'USAGE',
  });
  await expect(pull(options, { operands: ['gs://x'] })).rejects.toMatchObject({ code: 'USAGE' });
});
