import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { checkTemporaryFolder } from '../../../../shared/disk/temporary-folder.ts';

// On a full file system, a folder can often still be created, but files cannot be written into it.
vi.mock(import('node:fs'), async (load) => ({
  ...(await load()),
  writeFileSync: () => {
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  },
}));

test('the check of the temporary folder throws DISK if it is full, and leaves no files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-test-'));
  vi.stubEnv('TMPDIR', folder);
  try {
    expect(checkTemporaryFolder).toThrow(
      expect.objectContaining({
        code: 'DISK',
        message: expect.stringContaining(`${folder}: ENOSPC`),
        fix: expect.stringContaining('TMPDIR'),
      }),
    );
    expect(readdirSync(folder)).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  }
});
