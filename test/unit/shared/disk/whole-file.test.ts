import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diskError, makeDirectories, writeWhole } from '../../../../shared/disk/whole-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mnist-dist-whole-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('writeWhole', () => {
  it('writes and replaces a file, and leaves no other file', async () => {
    await writeWhole(join(folder, 'a'), 'first');
    await writeWhole(join(folder, 'a'), Uint8Array.of(0x32));
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('2');
    expect(await readdir(folder)).toEqual(['a']);
  });

  it('always shows readers either the old text or the new one, never a mixture', async () => {
    const texts = ['a'.repeat(1_000_000), 'b'.repeat(1_000_000)];
    const path = join(folder, 'a');
    await writeWhole(path, texts[0] ?? '');
    const writing = Promise.all([1, 0, 1, 0].map((i) => writeWhole(path, texts[i] ?? '')));
    let done = false;
    void writing.then(() => (done = true));
    while (!done) expect(texts.includes(await readFile(path, 'utf8'))).toBe(true);
    await writing;
  });

  it('names the file that it cannot write, keeps the old one and removes the new one', async () => {
    await expect(writeWhole(join(folder, 'none', 'a'), 'x')).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining(join(folder, 'none', 'a')),
    });
    await mkdir(join(folder, 'b'));
    await expect(writeWhole(join(folder, 'b'), 'x')).rejects.toMatchObject({ code: 'DISK' });
    expect(await readdir(folder)).toEqual(['b']);
  });
});

it('advises free space only if the disk is full', () => {
  const fixOf = (code: string) =>
    diskError('x', Object.assign(new Error(`${code}: fake`), { code })).fix;
  expect(fixOf('EFBIG')).toBe('raise the limit on the size of files: ulimit -f unlimited');
  expect(fixOf('ENOSPC')).toMatch(/^free disk space/);
  expect(fixOf('EACCES')).toMatch(/^check its folder/);
});

describe('makeDirectories', () => {
  it('creates all parent folders, and returns whether the folder is new', async () => {
    expect(await makeDirectories(join(folder, 'a', 'b'))).toBe(true);
    expect(await makeDirectories(join(folder, 'a', 'b'))).toBe(false);
  });

  it('names the folder that can be neither created nor entered', async () => {
    await symlink(join(folder, 'not-mounted', 'runs'), join(folder, 'runs'));
    await expect(makeDirectories(join(folder, 'runs', 'a', 'b'))).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining(join(folder, 'runs', 'a')),
    });
  });
});
