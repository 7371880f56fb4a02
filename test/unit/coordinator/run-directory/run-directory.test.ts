import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  checkRunId,
  createRunDirectory as create,
} from '../../../../coordinator/run-directory/run-directory.ts';
import { systemDisk } from '../../../../shared/disk/disk.ts';

let runs: string;
beforeEach(async () => {
  runs = join(await mkdtemp(join(tmpdir(), 'mnist-dist-runs-')), 'runs');
});
afterEach(() => rm(join(runs, '..'), { recursive: true, force: true }));

const createRunDirectory = (
  folder: string,
  id: string | undefined,
  at: Date,
  random?: () => number,
) => create(folder, id, at, systemDisk, random);
const now = new Date('2026-01-02T03:04:05.678Z');

describe('createRunDirectory', () => {
  it('names a run after the time, with a different suffix if the name is taken', async () => {
    const draws = [0, 0, 0.99999];
    const random = () => draws.shift() ?? 0;
    expect(await createRunDirectory(runs, undefined, now, random)).toEqual({
      id: '20260102-030405-0000',
      path: join(runs, '20260102-030405-0000'),
    });
    expect((await createRunDirectory(runs, undefined, now, random)).id).toBe(
      '20260102-030405-ffff',
    );
    await expect(createRunDirectory(runs, undefined, now, () => 0)).rejects.toMatchObject({
      code: 'RUN_EXISTS',
    });
  });

  it.each(['run.json', 'notes.txt'])(
    'rejects an id whose directory contains %s, and reports the path',
    async (name) => {
      const { path } = await createRunDirectory(runs, 'mine', now);
      await writeFile(join(path, name), '');
      await expect(createRunDirectory(runs, 'mine', now)).rejects.toMatchObject({
        code: 'RUN_EXISTS',
        message: expect.stringContaining(join(runs, 'mine')),
      });
    },
  );

  it('accepts an id whose coordinator died before its first run.json', async () => {
    const { path } = await createRunDirectory(runs, 'mine', now);
    for (const name of ['lock.json', 'metrics.jsonl', '.lock.0123456789ab.tmp'])
      await writeFile(join(path, name), '');
    for (const name of ['artifacts', '.drafts-7']) await mkdir(join(path, name));
    expect(await createRunDirectory(runs, 'mine', now)).toEqual({ id: 'mine', path });
  });

  it('reports the folder that cannot be created', async () => {
    await writeFile(join(runs, '..', 'file'), '');
    const path = join(runs, '..', 'file');
    await expect(createRunDirectory(path, 'a', now)).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining(path),
    });
  });
});

describe('checkRunId', () => {
  it.each(['a', 'A-b_c.9', 'x'.repeat(64)])('accepts %s', (id) =>
    expect(() => checkRunId(id)).not.toThrow(),
  );
  it.each(['', '.', '..', '.a', 'a/b', 'a\\b', 'a b', 'ä', 'a\n', 'x'.repeat(65)])(
    'rejects %j',
    (id) => {
      expect(() => checkRunId(id)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    },
  );
});
