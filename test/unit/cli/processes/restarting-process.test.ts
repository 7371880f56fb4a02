import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';
import type { Log } from '../../../../cli/terminal/log.ts';
import { Child } from '../../../../cli/processes/child-process.ts';
import { RestartingProcess } from '../../../../cli/processes/restarting-process.ts';
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
