import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkRunId, createRunDirectory } from '../../coordinator/run-directory.ts';

let runs: string;
beforeEach(async () => {
  runs = join(await mkdtemp(join(tmpdir(), 'mnist-dist-runs-')), 'runs');
});
afterEach(() => rm(join(runs, '..'), { recursive: true, force: true }));

const now = new Date('2026-01-02T03:04:05.678Z');

describe('createRunDirectory', () => {
  it('calls a run after the time and takes another suffix if that is taken', async () => {
    const draws = [0, 0, 0.99999];
    const random = () => draws.shift() ?? 0;
    expect(await createRunDirectory(runs, undefined, now, random)).toEqual({
      id: '20260102-030405-0000',
      path: join(runs, '20260102-030405-0000'),
    });
    expect((await createRunDirectory(runs, undefined, now, random)).id).toBe('20260102-030405-ffff');
    expect(await readdir(join(runs, '20260102-030405-ffff'))).toEqual(['artifacts']);
    await expect(createRunDirectory(runs, undefined, now, () => 0)).rejects.toMatchObject({
      code: 'RUN_EXISTS',
    });
  });

  it('refuses an id that exists, by its path', async () => {
    await createRunDirectory(runs, 'mine', now);
    await expect(createRunDirectory(runs, 'mine', now)).rejects.toMatchObject({
      code: 'RUN_EXISTS',
      message: expect.stringContaining(join(runs, 'mine')),
    });
  });

  it('names the folder that cannot be made', async () => {
    await writeFile(join(runs, '..', 'file'), '');
    const path = join(runs, '..', 'file');
    await expect(createRunDirectory(path, 'a', now)).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining(path),
    });
  });
});

describe('checkRunId', () => {
  it.each(['a', 'A-b_c.9', 'x'.repeat(64)])('takes %s', (id) => expect(() => checkRunId(id)).not.toThrow());
  it.each(['', '.', '..', '.a', 'a/b', 'a\\b', 'a b', 'ä', 'a\n', 'x'.repeat(65)])('refuses %j', (id) => {
    expect(() => checkRunId(id)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});
