import { fileURLToPath } from 'node:url';
import { expect, it, vi } from 'vitest';
import type { Log } from '../../../../cli/terminal/log.ts';
import { RestartingProcess } from '../../../../cli/processes/restarting-process.ts';
import { errorTable } from '../../../../shared/errors.ts';
import { MAX_FAILED_STARTS } from '../../../../shared/limits.ts';

vi.mock(import('../../../../cli/package.ts'), async (load) => ({
  ...(await load()),
  executable: fileURLToPath(new URL('../../../fixtures/fake-child.mjs', import.meta.url)),
}));

const LIMIT = String(errorTable.LIMIT.exit);
const UNEXPECTED = String(errorTable.UNEXPECTED.exit);

/**
 * Starts a process that ends as the first entry says, then as the second one, and so on; the last
 * one repeats.
 */
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

it('a process that meets a limit after it was ready is started again', async () => {
  expect(await ended([`ready ${LIMIT}`, '0'])).toEqual({ code: 0, starts: 2, errors: [] });
});

it('a process that meets a limit before it is ready is not: it would again', async () => {
  expect(await ended([LIMIT, '0'])).toEqual({ code: errorTable.LIMIT.exit, starts: 1, errors: [] });
});

it('a process that meets a limit soon after it was ready, again and again, is given up', async () => {
  expect(await ended([`ready ${LIMIT}`])).toEqual({
    code: errorTable.LIMIT.exit,
    starts: MAX_FAILED_STARTS,
    errors: [
      `w0 ended with exit code ${LIMIT} 3 times in a row soon after it was ready: it is not started again`,
    ],
  });
});

it('a defect counts as a failed start only before the process is ready', async () => {
  const failed = await ended([UNEXPECTED]);
  expect(failed).toMatchObject({ code: errorTable.UNEXPECTED.exit, starts: MAX_FAILED_STARTS });
  const ready = Array.from({ length: MAX_FAILED_STARTS }, () => `ready ${UNEXPECTED}`);
  expect(await ended([...ready, '0'])).toMatchObject({ code: 0, starts: MAX_FAILED_STARTS + 1 });
});

it('every other error is final, also after the process was ready', async () => {
  const code = errorTable.DISK.exit;
  expect(await ended([`ready ${code}`, '0'])).toEqual({ code, starts: 1, errors: [] });
});
