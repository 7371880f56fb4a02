import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { folderIn, type StoreAddress } from '../../../../artifacts/store/store-address.ts';
import { openStore } from '../../../../artifacts/store/open-store.ts';
import { content, keepsTheContract, read } from '../../../fixtures/store/store-contract.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';

const root = mkdtempSync(join(tmpdir(), 'mnist-dist-store-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let count = 0;
const address = (): StoreAddress => folderIn({ kind: 'file', directory: root }, `store-${++count}`);

describe('file:', () => {
  keepsTheContract(address);
});

describe('a folder as a store', () => {
  let directory = '';
  let elsewhere = '';
  const open = () => openStore({ kind: 'file', directory }, immediateRetries());
  beforeEach(() => {
    directory = join(root, `folder-${++count}`);
    elsewhere = join(root, `elsewhere-${count}`);
    for (const folder of [directory, elsewhere]) mkdirSync(folder);
    writeFileSync(join(elsewhere, 'secret.txt'), 'secret');
  });

  it('leaves no half-written file behind', async () => {
    const store = await open();
    const lie = { ...content('third'), open: content('THIRD').open };
    await expect(store.put('x.txt', lie)).rejects.toMatchObject({ code: 'STORE' });
    expect(readdirSync(directory)).toEqual([]);
  });

  it('does not read or write through a link', async () => {
    symlinkSync(elsewhere, join(directory, 'folder'));
    symlinkSync(join(elsewhere, 'secret.txt'), join(directory, 'file.txt'));
    const store = await open();
    const refused = { code: 'STORE', message: expect.stringContaining('a link') };
    await expect(read(store, 'folder/secret.txt')).rejects.toMatchObject(refused);
    await expect(read(store, 'file.txt')).rejects.toMatchObject(refused);
    await expect(store.put('folder/secret.txt', content('x'))).rejects.toMatchObject(refused);
    await expect(store.remove('folder/secret.txt')).rejects.toMatchObject(refused);
    // The new file replaces the link, not the link's target.
    await store.put('file.txt', content('mine'));
    expect(readFileSync(join(directory, 'file.txt'), 'utf8')).toBe('mine');
    expect(readFileSync(join(elsewhere, 'secret.txt'), 'utf8')).toBe('secret');
  });

  it('does not wait for a pipe, and does not read a folder as a file', async () => {
    expect(spawnSync('mkfifo', [join(directory, 'pipe')]).status).toBe(0);
    mkdirSync(join(directory, 'sub'));
    const store = await open();
    await expect(read(store, 'pipe')).rejects.toMatchObject({ code: 'STORE' });
    await expect(read(store, 'sub')).rejects.toMatchObject({ code: 'STORE' });
  });

  it('reports the file that is in the way', async () => {
    writeFileSync(join(directory, 'file'), '');
    const within = join(directory, 'file', 'store');
    const store = await openStore({ kind: 'file', directory: within }, immediateRetries());
    await expect(store.put('x.txt', content('x'))).rejects.toMatchObject({
      code: 'STORE',
      message: expect.stringContaining(join(directory, 'file')),
    });
  });
});
