import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ClusterError } from '../../../../shared/errors.ts';
import { writePlain } from '../../../../artifacts/store/plain-file.ts';

it('writePlain soon stops reading an endless source, and removes the file', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-plain-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  let taken = 0;
  async function* endless(): AsyncGenerator<Uint8Array> {
    while (taken < 1000) {
      taken++;
      yield Buffer.alloc(100);
    }
  }
  const refused = new ClusterError('STORE', 'too much');
  const writing = writePlain(endless(), {
    path: join(folder, 'x'),
    limit: 250,
    explain: () => new ClusterError('DISK', 'the disk'),
    accept: ({ size }) => {
      expect(size).toBe(300);
      throw refused;
    },
  });
  await expect(writing).rejects.toBe(refused);
  expect(taken).toBe(3);
  expect(readdirSync(folder)).toEqual([]);
});
