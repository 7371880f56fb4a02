import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppendFile } from '../../coordinator/append-file.ts';
import type { ClusterError } from '../../shared/errors.ts';

let folder: string;
let errors: ClusterError[];
beforeEach(async () => {
  errors = [];
  folder = await mkdtemp(join(tmpdir(), 'mnist-dist-append-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const onError = (error: ClusterError) => void errors.push(error);
const linesOf = (count: number, length: number) =>
  Array.from({ length: count }, (_, i) => `${String(i).padEnd(length, '.')}\n`);

describe('AppendFile', () => {
  it('keeps the order of many lines, whenever they are flushed', async () => {
    const path = join(folder, 'a');
    const file = await AppendFile.open(path, onError);
    const lines = linesOf(5000, 100);
    for (const [i, line] of lines.entries()) {
      file.append(line);
      if (i % 1500 === 700) await file.sync();
      if (i % 777 === 0) await new Promise(setImmediate);
    }
    await file.close();
    await file.close();
    expect(await readFile(path, 'utf8')).toBe(lines.join(''));
    expect(errors).toEqual([]);
  });

  it('has on the disk what was appended before sync', async () => {
    const path = join(folder, 'a');
    const file = await AppendFile.open(path, onError);
    file.append('one\n');
    await file.sync();
    expect(await readFile(path, 'utf8')).toBe('one\n');
    await file.close();
  });

  it('writes by itself, with nobody waiting', async () => {
    const path = join(folder, 'a');
    const file = await AppendFile.open(path, onError);
    file.append('one\n');
    await expect.poll(() => readFile(path, 'utf8'), { timeout: 10_000 }).toBe('one\n');
    await file.close();
  });

  it('tells of a write error once, and again to whoever syncs or closes', async () => {
    // A file opened for reading cannot be written.
    const path = join(folder, 'a');
    await (await open(path, 'w')).close();
    const file = new AppendFile(path, await open(path, 'r'), onError);
    for (const line of linesOf(1000, 100)) file.append(line);
    const disk = { code: 'DISK', message: expect.stringContaining(path) };
    await expect(file.sync()).rejects.toMatchObject(disk);
    file.append('more\n');
    await expect(file.close()).rejects.toMatchObject(disk);
    expect(errors).toEqual([expect.objectContaining(disk)]);
  });

  it.skipIf(!existsSync('/dev/full'))('names the file on a full disk', async () => {
    const file = await AppendFile.open('/dev/full', onError);
    file.append('x\n');
    await expect(file.close()).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining('/dev/full'),
    });
    expect(errors).toHaveLength(1);
    expect(errors[0]?.message).toContain('ENOSPC');
  });

  it('refuses a file it cannot open, by name', async () => {
    await expect(AppendFile.open(join(folder, 'none', 'a'), onError)).rejects.toMatchObject({ code: 'DISK' });
  });
});
