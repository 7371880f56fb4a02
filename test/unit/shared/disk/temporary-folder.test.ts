import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { checkTemporaryFolder } from '../../../../shared/disk/temporary-folder.ts';

// On a full file system a folder can often be created, but no file can be written into it.
vi.mock(import('node:fs'), async (load) => ({
  ...(await load()),
  writeFileSync: () => {
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  },
}));

test('a full file system for temporary files is a DISK error and leaves no file', () => {
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
