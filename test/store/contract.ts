import { Readable } from 'node:stream';
import { createHash, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { inside, type StoreAddress } from '../../artifacts/store/store-address.ts';
import { digestOf } from '../../artifacts/store/plain-file.ts';
import { openStore } from '../../artifacts/store/open-store.ts';
import type { Content, Store } from '../../artifacts/store/store.ts';
import { noPatience } from './patience.ts';

/** Bytes as something to put. */
export function content(bytes: Uint8Array | string, type = 'text/plain'): Content {
  const buffer = Buffer.from(bytes);
  return {
    size: buffer.length,
    sha256: createHash('sha256').update(buffer).digest('hex'),
    type,
    open: async () => Readable.from(buffer.length === 0 ? [] : [buffer], { objectMode: false }),
  };
}

export async function read(store: Store, name: string): Promise<string | undefined> {
  return await store.get(name, async ({ bytes }) => {
    const parts: Uint8Array[] = [];
    for await (const part of bytes) parts.push(part);
    return Buffer.concat(parts).toString();
  });
}

export const badNames = [
  ...['', '.', '..', '../x', 'a/../x', 'a/./b', '/etc/passwd', '//x', 'a//b', 'a/', 'a\\b', '..\\x'],
  ...[
    'a\0b',
    'a\nb',
    '.hidden',
    'a/.hidden',
    'a b',
    'ä',
    '%2e%2e/x',
    'C:x',
    'a?b',
    'a/b/c/d/e/f',
    'x'.repeat(129),
  ],
];

/** What every store keeps to. `address` gives a new, empty place each time. */
export function keepsTheContract(address: () => StoreAddress): void {
  const open = () => openStore(address(), noPatience());

  it.each([0, 1, 1000, 3_000_000])('gives back %i bytes', async (size) => {
    const store = await open();
    const given = content(randomBytes(size));
    await store.put('a/file.bin', given);
    const found = await store.get('a/file.bin', async (found) => ({
      ...(await digestOf(found.bytes)),
      says: found.size,
    }));
    expect(found).toEqual({ size, sha256: given.sha256, says: size });
  });

  it('has nothing where nothing was put', async () => {
    const store = await open();
    expect(await read(store, 'a/b.txt')).toBeUndefined();
    await store.put('a/b.txt', content('x'));
    expect(await read(store, 'a/c.txt')).toBeUndefined();
    expect(await read(store, 'b.txt')).toBeUndefined();
  });

  it('replaces what has the name, and removes it', async () => {
    const store = await open();
    await store.put('x.txt', content('a longer first text'));
    await store.put('x.txt', content('second'));
    expect(await read(store, 'x.txt')).toBe('second');
    await store.remove('x.txt');
    expect(await read(store, 'x.txt')).toBeUndefined();
    await store.remove('x.txt');
    await store.remove('never/there.txt');
  });

  it('takes no bytes that are not those that were announced, and keeps what it had', async () => {
    const store = await open();
    await store.put('x.txt', content('first'));
    const lie = { ...content('third'), open: content('THIRD').open };
    await expect(store.put('x.txt', lie)).rejects.toMatchObject({ code: 'STORE' });
    expect(await read(store, 'x.txt')).toBe('first');
  });

  it('keeps nothing of what breaks off while it is read', async () => {
    const store = await open();
    const broken: Content = {
      ...content(Buffer.alloc(200_000, 'x')),
      open: async () =>
        Readable.from(
          (async function* () {
            yield Buffer.alloc(100_000, 'x');
            throw new Error('the disk is gone');
          })(),
          { objectMode: false },
        ),
    };
    await expect(store.put('x.txt', broken)).rejects.toMatchObject({ code: 'STORE' });
    expect(await read(store, 'x.txt')).toBeUndefined();
  });

  it('is done with a file of which only the beginning was wanted', async () => {
    const store = await open();
    await store.put('x.bin', content(randomBytes(2_000_000)));
    const first = await store.get('x.bin', async ({ bytes }) => {
      for await (const part of bytes) return part.length;
      return 0;
    });
    expect(first).toBeGreaterThan(0);
    expect(await store.get('x.bin', async () => 'nothing read')).toBe('nothing read');
  });

  it('says of its reader that it failed, and why', async () => {
    const store = await open();
    await store.put('x.txt', content('x'));
    const error = new Error('mine');
    const reading = store.get('x.txt', () => Promise.reject(error));
    await expect(reading).rejects.toMatchObject({ code: 'STORE', cause: error });
  });

  it('names the folders right in it', async () => {
    const place = address();
    const store = await openStore(place, noPatience());
    expect(await store.folders()).toEqual([]);
    for (const name of ['a/x.txt', 'b/c/x.txt', 'x.txt']) await store.put(name, content(name));
    expect((await store.folders()).toSorted()).toEqual(['a', 'b']);
    const within = await openStore(inside(place, 'b'), noPatience());
    expect(await within.folders()).toEqual(['c']);
    expect(await read(within, 'c/x.txt')).toBe('b/c/x.txt');
  });

  it.each(badNames)('refuses the name %j', async (name) => {
    const store = await open();
    const refused = { code: 'STORE', message: expect.stringContaining('is no name') };
    await expect(store.put(name, content('x'))).rejects.toMatchObject(refused);
    await expect(store.get(name, async () => 1)).rejects.toMatchObject(refused);
    await expect(store.remove(name)).rejects.toMatchObject(refused);
  });

  it('does nothing once it was told to stop', async () => {
    const stopping = new AbortController();
    const store = await openStore(address(), noPatience([], stopping.signal));
    const reason = new Error('stopped');
    stopping.abort(reason);
    await expect(store.put('x.txt', content('x'))).rejects.toBe(reason);
    await expect(read(store, 'x.txt')).rejects.toBe(reason);
  });
}
