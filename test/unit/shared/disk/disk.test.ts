import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemDisk } from '../../../../shared/disk/disk.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

afterEach(() => vi.restoreAllMocks());

describe('the system disk', () => {
  it('opens a folder, but not a link to one', async () => {
    const root = temporaryFolder();
    mkdirSync(join(root, 'folder'));
    symlinkSync(join(root, 'folder'), join(root, 'link'));
    writeFileSync(join(root, 'file'), '');
    expect(await systemDisk.isFolder(join(root, 'folder'))).toBe(true);
    for (const name of ['link', 'file'])
      await expect(systemDisk.openFolder(join(root, name))).rejects.toMatchObject({
        code: 'ENOTDIR',
      });
  });

  it('removes files in the folder that it opened, even if a link has replaced it', async () => {
    const root = temporaryFolder();
    for (const name of ['ours', 'theirs']) {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, 'file'), '');
    }
    const folder = await systemDisk.openFolder(join(root, 'ours'));
    renameSync(join(root, 'ours'), join(root, 'moved'));
    symlinkSync(join(root, 'theirs'), join(root, 'ours'));
    expect(await folder.list()).toEqual(['file']);
    await folder.remove('file');
    await folder.remove('file');
    await folder.close();
    expect([readdirSync(join(root, 'moved')), readdirSync(join(root, 'theirs'))]).toEqual([
      [],
      ['file'],
    ]);
  });

  it('returns whether folders can be synced, and rejects with any other error', async () => {
    const root = temporaryFolder();
    expect(await systemDisk.syncDirectory(root)).toBe(true);
    const handle = await open(root);
    const prototype: { sync(): Promise<void> } = Object.getPrototypeOf(handle);
    await handle.close();
    const failing = vi.spyOn(prototype, 'sync');
    // FUSE and network file systems return these codes.
    for (const code of ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EROFS', 'EBADF', 'ENOSYS']) {
      failing.mockRejectedValueOnce(Object.assign(new Error(code), { code }));
      expect(await systemDisk.syncDirectory(root), code).toBe(false);
    }
    for (const code of ['EIO', 'ENOSPC', 'EDQUOT']) {
      failing.mockRejectedValueOnce(Object.assign(new Error(code), { code }));
      await expect(systemDisk.syncDirectory(root)).rejects.toMatchObject({ code });
    }
  });
});
