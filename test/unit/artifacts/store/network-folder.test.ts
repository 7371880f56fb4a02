import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_STORE_ATTEMPTS } from '../../../../shared/limits.ts';
import { openStore } from '../../../../artifacts/store/open-store.ts';
import type { Content } from '../../../../artifacts/store/store.ts';
import { content, read } from '../../../fixtures/store/store-contract.ts';
import { immediateRetries } from '../../../fixtures/store/retry-policy.ts';

/**
 * Which call fails, how many times, and with which code, as calls on a network folder sometimes do.
 */
const trouble = { call: '', times: 0, code: '' };

vi.mock('node:fs/promises', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs/promises')>();
  const meet = (call: string): void => {
    if (call !== trouble.call || trouble.times === 0) return;
    trouble.times--;
    throw Object.assign(new Error(`${trouble.code}: fake`), { code: trouble.code });
  };
  const failing = {
    ...real,
    open: async (...args: Parameters<typeof real.open>) => {
      meet(`open ${args[1] === 'wx' ? 'a draft' : 'a file'}`);
      const handle = await real.open(...args);
      const { write }: { write(bytes: Uint8Array, at: number): Promise<unknown> } = handle;
      const { datasync } = handle;
      Object.assign(handle, {
        write: async (bytes: Uint8Array, at: number) => {
          meet('write');
          return await write.call(handle, bytes, at);
        },
        datasync: async () => {
          meet('sync');
          await datasync.call(handle);
        },
      });
      return handle;
    },
    mkdir: async (...args: Parameters<typeof real.mkdir>) => {
      meet('make a folder');
      return await real.mkdir(...args);
    },
    rename: async (...args: Parameters<typeof real.rename>) => {
      meet('rename');
      await real.rename(...args);
    },
  };
  return { ...failing, default: failing };
});

const root = mkdtempSync(join(tmpdir(), 'mnist-dist-network-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let directory = '';
let waits: number[] = [];
const open = () => openStore({ kind: 'file', directory }, immediateRetries(waits));
beforeEach(() => {
  directory = join(mkdtempSync(join(root, 'x-')), 'store');
  waits = [];
  trouble.times = 0;
});

/** Content, and every stream opened from it. */
function watched(text: string): { given: Content; opened: Readable[] } {
  const opened: Readable[] = [];
  const given = {
    ...content(text),
    open: async () => {
      const bytes = Readable.from([Buffer.from(text)], { objectMode: false });
      opened.push(bytes);
      return bytes;
    },
  };
  return { given, opened };
}

const calls = ['open a draft', 'write', 'sync', 'rename', 'make a folder'];

describe('a folder on a network', () => {
  it.each(calls)('that fails to %s for a while still gets the file', async (call) => {
    const store = await open();
    const { given, opened } = watched('the whole');
    Object.assign(trouble, { call, times: 2, code: 'ESTALE' });
    await store.put('a/x.txt', given);
    expect(waits).toEqual([125, 250]);
    expect(await read(store, 'a/x.txt')).toBe('the whole');
    expect(opened.every(({ destroyed }) => destroyed)).toBe(true);
    expect(readdirSync(join(directory, 'a'))).toEqual(['x.txt']);
  });

  it.each(['EAGAIN', 'EBUSY', 'ETIMEDOUT'])('that fails with %s is retried', async (code) => {
    Object.assign(trouble, { call: 'open a draft', times: 1, code });
    await (await open()).put('x.txt', content('x'));
    expect(readFileSync(join(directory, 'x.txt'), 'utf8')).toBe('x');
  });

  it.each(calls)(
    'that keeps failing is abandoned after the last attempt, with nothing left open: %s',
    async (call) => {
      const { given, opened } = watched('the whole');
      Object.assign(trouble, { call, times: MAX_STORE_ATTEMPTS, code: 'ESTALE' });
      await expect((await open()).put('x.txt', given)).rejects.toMatchObject({
        code: 'STORE',
        message: `file:${join(directory, 'x.txt')} could not be written: ESTALE: fake`,
      });
      expect(waits).toHaveLength(MAX_STORE_ATTEMPTS - 1);
      expect(opened).toHaveLength(call === 'make a folder' ? 0 : MAX_STORE_ATTEMPTS);
      expect(opened.every(({ destroyed }) => destroyed)).toBe(true);
    },
  );

  it.each(calls)('is not retried after permission was denied: %s', async (call) => {
    const { given, opened } = watched('the whole');
    Object.assign(trouble, { call, times: 1, code: 'EACCES' });
    await expect((await open()).put('x.txt', given)).rejects.toMatchObject({ code: 'STORE' });
    expect(waits).toEqual([]);
    expect(opened.every(({ destroyed }) => destroyed)).toBe(true);
  });
});
