import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { pull } from '../../../../cli/commands/pull.ts';
import { push } from '../../../../cli/commands/push.ts';
import { systemProcesses } from '../../../../coordinator/run-directory/processes.ts';
import { filesUnder, makeRun, resultsOfRun, RUN } from '../../../fixtures/store/stored-run.ts';

let folder = '';
let printed = '';
const options = { config: undefined, runsDir: '', logLevel: 'info', logFormat: 'text' } as const;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mnist-dist-push-'));
  printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

it('push and pull report what they transferred, and push prints the pull command', async () => {
  const run = makeRun(join(folder, 'runs'));
  const uri = `file:${join(folder, 'store')}`;
  expect(await push(options, { operands: [run, uri] })).toBe(0);
  expect(printed).toContain(`${run} is at ${uri}/${RUN}: 8 files, `);
  expect(printed).toContain(`\ndownload it with: mnist-dist pull ${uri}/${RUN}\n`);
  expect(
    await pull({ ...options, runsDir: join(folder, 'new') }, { operands: [`${uri}/${RUN}`] }),
  ).toBe(0);
  expect(filesUnder(join(folder, 'new', RUN))).toEqual(resultsOfRun);
  expect(await pull(options, { operands: [`${uri}/${RUN}`, join(folder, 'new', RUN)] })).toBe(0);
  expect(printed).toContain('fetched now: 0 files, 0 bytes\n');
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
