import { execFileSync, spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import {
  isOwnFolder,
  openEntry,
  readEntry,
  readEntryNow,
  readNamed,
  readNamedNow,
  type ReadLimit,
} from '../../../../shared/disk/regular-file.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const limit: ReadLimit = { name: 'MAX_BYTES', bytes: 10_000 };
let folder: string;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder, 'entry');
});

/** Entries that may take the place of a regular file. */
const intruders: [string, () => unknown, RegExp][] = [
  [
    'a link to an endless device',
    () => symlinkSync('/dev/zero', path),
    /entry cannot be read: it is a link/,
  ],
  [
    'a link to a file',
    () => {
      writeFileSync(join(folder, 'other'), 'secret');
      symlinkSync('other', path);
    },
    /it is a link/,
  ],
  ['a dangling link', () => symlinkSync('nowhere', path), /it is a link/],
  ['a pipe', () => execFileSync('mkfifo', [path]), /it is a pipe, not a regular file/],
  ['a folder', () => mkdirSync(path), /it is a folder, not a regular file/],
];

describe('an entry', () => {
  it.each(intruders)('is rejected if it is %s', async (_, make, message) => {
    make();
    const refused = {
      code: 'DATA',
      message: expect.stringMatching(message),
      fix: expect.any(String),
    };
    await expect(readEntry(path, limit)).rejects.toMatchObject(refused);
    await expect(openEntry(path)).rejects.toMatchObject(refused);
    await expect(openEntry(path, 'STORE')).rejects.toMatchObject({ code: 'STORE' });
    expect(() => readEntryNow(path, limit)).toThrow(message);
  });

  it('is rejected if it is a socket', async () => {
    const server = createServer().listen(path);
    onTestFinished(() => void server.close());
    await expect(readEntry(path, limit)).rejects.toMatchObject({ code: 'DATA', message: /socket/ });
  });

  it('is read whole, up to its limit', async () => {
    for (const size of [0, 1, 4095, 4096, 4097, 10_000]) {
      const bytes = Buffer.alloc(size, 'ab');
      writeFileSync(path, bytes);
      expect(await readEntry(path, limit)).toEqual(bytes);
      expect(readEntryNow(path, limit)).toEqual(bytes);
    }
    appendFileSync(path, '!');
    const refused = {
      code: 'LIMIT',
      message: expect.stringContaining('more than 10000 (MAX_BYTES)'),
    };
    await expect(readEntry(path, limit)).rejects.toMatchObject(refused);
    expect(() => readEntryNow(path, limit)).toThrow('more than 10000');
  });

  it('of size 0, as in /proc, is read to its end or to the limit', () => {
    expect(readEntryNow('/proc/self/status').toString()).toContain('VmRSS');
    expect(() => readEntryNow('/proc/self/status', { name: 'N', bytes: 10 })).toThrow(
      'more than 10 (N)',
    );
  });

  it('that is missing causes a system error', async () => {
    await expect(readEntry(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a named file', () => {
  it('may be a link to a regular file', async () => {
    writeFileSync(join(folder, 'other'), 'text');
    symlinkSync('other', path);
    expect((await readNamed(path, limit)).toString()).toBe('text');
    expect(readNamedNow(path, limit).bytes.toString()).toBe('text');
  });

  it.each(['/dev/zero', '/tmp'])('may not be %s, nor a link to it', async (target) => {
    symlinkSync(target, path);
    for (const name of [target, path]) {
      await expect(readNamed(name, limit)).rejects.toThrow('not a regular file');
      expect(() => readNamedNow(name, limit)).toThrow('not a regular file');
    }
  });

  it('may be a pipe, which only the synchronous function reads, to its end', async () => {
    execFileSync('mkfifo', [path]);
    spawn('sh', ['-c', `sleep 0.05; (printf one; sleep 0.05; printf two) > ${path}`]);
    expect(readNamedNow(path, limit).bytes.toString()).toBe('onetwo');
    await expect(readNamed(path, limit)).rejects.toThrow('a pipe');
  });

  it('that is a pipe is limited in bytes and in time', () => {
    execFileSync('mkfifo', [path]);
    const endless = spawn('sh', ['-c', `exec yes > ${path}`]);
    onTestFinished(() => void endless.kill());
    expect(() => readNamedNow(path, limit)).toThrow('more than 10000');
    const silent = join(folder, 'silent');
    execFileSync('mkfifo', [silent]);
    expect(() => readNamedNow(silent, limit, 20)).toThrow(
      'it is a pipe that did not end within 0.02 s',
    );
    const open = spawn('sh', ['-c', `exec sleep 60 > ${silent}`]);
    onTestFinished(() => void open.kill());
    expect(() => readNamedNow(silent, limit, 20)).toThrow('did not end');
  });
});

it('a folder may be missing, but must not be a link', async () => {
  expect(await isOwnFolder(path)).toBe(false);
  mkdirSync(path);
  expect(await isOwnFolder(path)).toBe(true);
  symlinkSync(folder, join(path, 'up'));
  const refused = {
    code: 'DATA',
    message: expect.stringContaining('it is a link, not a folder'),
  };
  await expect(isOwnFolder(join(path, 'up'))).rejects.toMatchObject(refused);
});
