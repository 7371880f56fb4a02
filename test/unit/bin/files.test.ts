import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { makeFolders, readText } from '../../../bin/files.mjs';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

let folder = '';
let path = '';
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder, 'file');
});

describe('the text of a file', () => {
  it('is read to its end', () => {
    writeFileSync(path, 'é'.repeat(100_000));
    expect(readText(path)).toBe('é'.repeat(100_000));
    writeFileSync(path, '');
    expect(readText(path)).toBe('');
  });

  it('is read through a link to its folder', () => {
    writeFileSync(path, 'text');
    symlinkSync(folder, join(folder, 'link'));
    expect(readText(join(folder, 'link', 'file'))).toBe('text');
  });

  it.each<[string, () => void]>([
    ['nothing', () => undefined],
    ['a pipe', () => void execFileSync('mkfifo', [path])],
    ['a link to a device', () => symlinkSync('/dev/zero', path)],
    [
      'a link to a file',
      () => {
        writeFileSync(join(folder, 'other'), 'text');
        symlinkSync('other', path);
      },
    ],
    ['a folder', () => mkdirSync(path)],
  ])('is undefined for %s', (_, create) => {
    create();
    expect(readText(path)).toBeUndefined();
  });
});

describe('missing folders', () => {
  it('are created with those above them, also twice, and through a link', () => {
    makeFolders(join(folder, 'a', 'b'), 0o700);
    makeFolders(join(folder, 'a', 'b'));
    expect(statSync(join(folder, 'a')).mode & 0o777).toBe(0o700);
    symlinkSync(join(folder, 'a'), join(folder, 'link'));
    makeFolders(join(folder, 'link', 'c', 'd'));
    expect(statSync(join(folder, 'a', 'c', 'd')).isDirectory()).toBe(true);
  });

  it('below a file, a dangling link, or a name that is too long, are an error', () => {
    writeFileSync(path, '');
    symlinkSync('nowhere', join(folder, 'dangling'));
    expect(() => makeFolders(path)).toThrow('EEXIST');
    expect(() => makeFolders(join(path, 'below'))).toThrow('ENOTDIR');
    expect(() => makeFolders(join(folder, 'dangling', 'below'))).toThrow('ENOENT');
    expect(() => makeFolders(join(folder, 'a'.repeat(300), 'below'))).toThrow('ENAMETOOLONG');
  });

  it.skipIf(process.platform !== 'linux')('in /proc are an error', () => {
    expect(() => makeFolders('/proc/nowhere/below')).toThrow('ENOENT');
  });
});
