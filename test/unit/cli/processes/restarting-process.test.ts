import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';
import type { Log } from '../../../../cli/terminal/log.ts';
import { Child } from '../../../../cli/processes/child-process.ts';
import { documentedExit, RestartingProcess } from '../../../../cli/processes/restarting-process.ts';
import { errorTable } from '../../../../shared/errors.ts';
import { MAX_FAILED_STARTS } from '../../../../shared/limits.ts';

vi.mock(import('../../../../cli/package.ts'), async (load) => ({
  ...(await load()),
  executable: fileURLToPath(new URL('../../../fixtures/fake-child.mjs', import.meta.url)),
}));

const LIMIT = String(errorTable.LIMIT.exit);
const UNEXPECTED = String(errorTable.UNEXPECTED.exit);

/** Runs a process with these command lines in turn; any further start repeats the last one. */
async function ended(
  ends: readonly string[],
): Promise<{ code: number; starts: number; errors: string[] }> {
  let starts = 0;
  const errors: string[] = [];
  const log: Log = {
    debug() {},
    info() {},
    warn() {},
    error: (_, message) => errors.push(message),
  };
  const restarting = new RestartingProcess({
    name: 'w0',
    args: () => (ends[Math.min(starts++, ends.length - 1)] ?? '').split(' '),
    environment: process.env,
    output: 'capture',
    maxRestarts: 10,
    crashFix: 'repair it',
    log,
  });
  const code = await restarting.ended;
  return { code, starts, errors };
}

it('restarts a process that hits a limit after becoming ready', async () => {
  expect(await ended([`ready ${LIMIT}`, '0'])).toEqual({ code: 0, starts: 2, errors: [] });
});

it('does not restart a process that hits a limit before becoming ready', async () => {
  expect(await ended([LIMIT, '0'])).toEqual({ code: errorTable.LIMIT.exit, starts: 1, errors: [] });
});

it('tells a process that it is started again', async () => {
  expect(await ended([`first ${UNEXPECTED}`])).toMatchObject({ code: 0, starts: 2 });
});

it('gives up on a process that repeatedly hits a limit soon after becoming ready', async () => {
  expect(await ended([`ready ${LIMIT}`])).toEqual({
    code: errorTable.LIMIT.exit,
    starts: MAX_FAILED_STARTS,
    errors: [
      `w0 ended with exit code ${LIMIT} 3 times in a row ` +
        'soon after it was ready; not restarting it again',
    ],
  });
});

it('counts an unexpected error as a failed start only before the process is ready', async () => {
  const failed = await ended([UNEXPECTED]);
  expect(failed).toMatchObject({ code: errorTable.UNEXPECTED.exit, starts: MAX_FAILED_STARTS });
  const ready = Array.from({ length: MAX_FAILED_STARTS }, () => `ready ${UNEXPECTED}`);
  expect(await ended([...ready, '0'])).toMatchObject({ code: 0, starts: MAX_FAILED_STARTS + 1 });
});

it('advises what to do about a process that a crash signal ends at every start', async () => {
  expect(await ended(['killed SIGILL'])).toEqual({
    code: 132,
    starts: MAX_FAILED_STARTS,
    errors: [
      'w0 was ended by signal 4 3 times in a row before it was ready; not restarting it again',
      'w0 was ended by signal 4: repair it',
    ],
  });
});

it('documents the exit code of a command whose process was ended by a signal', () => {
  expect([132, 134, 139].map((code) => documentedExit(code, 'ENGINE'))).toEqual([11, 11, 11]);
  expect(documentedExit(137, 'ENGINE')).toBe(errorTable.RUN_FAILED.exit);
  expect([0, 12, 130, 143].map((code) => documentedExit(code, 'ENGINE'))).toEqual([
    0, 12, 130, 143,
  ]);
});

it('does not restart after any other error, even if the process was ready', async () => {
  const code = errorTable.DISK.exit;
  expect(await ended([`ready ${code}`, '0'])).toEqual({ code, starts: 1, errors: [] });
});

it('resumes a suspended process that is asked to stop', async () => {
  const child = new Child('w0', ['suspended', '0'], process.env, 'capture');
  await vi.waitUntil(() => child.isReady);
  child.stop('TERMINATED');
  expect(await child.exited).toBe(0);
});
