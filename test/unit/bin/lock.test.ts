import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  EXPIRY_MILLISECONDS,
  lockHolder,
  MAX_WAIT_MILLISECONDS,
  withLock,
} from '../../../bin/lock.mjs';
import { thisProcess, WATCH_MILLISECONDS } from '../../../bin/owner.mjs';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** Called before each rename. */
let beforeRename: (from: string, to: string) => void = () => undefined;
/** Called before each folder is listed. */
let beforeList: (path: string) => unknown = () => undefined;
vi.mock(import('node:fs'), async (importOriginal) => {
  const fs = await importOriginal();
  const rename: typeof fs.renameSync = (from, to) => {
    beforeRename(String(from), String(to));
    fs.renameSync(from, to);
  };
  const list = new Proxy(fs.readdirSync, {
    apply: (target, self, args) => {
      beforeList(String(args[0]));
      return Reflect.apply(target, self, args);
    },
  });
  return { ...fs, readdirSync: list, renameSync: rename };
});

const TOKEN = '0123456789ab';
const here = thisProcess();
let parent = '';
let lock = '';
let said: string[] = [];
beforeEach(() => {
  parent = temporaryFolder();
  lock = join(parent, 'lock');
  said = [];
  beforeRename = () => undefined;
  beforeList = () => undefined;
});

/** A clock that advances only while a caller waits for the lock. Each wait calls `onWait`. */
function quickTime(onWait: (waited: number) => void = () => undefined) {
  const time = {
    waited: 0,
    now: () => time.waited,
    sleep: async (milliseconds: number) => {
      time.waited += milliseconds;
      onWait(time.waited);
      await new Promise(setImmediate);
    },
  };
  return time;
}

const say = (line: string): void => void said.push(line);
const set = async (time = quickTime(), action = async () => 'done'): Promise<string> =>
  await withLock(lock, action, say, time);

function heldBy(owner: object): void {
  mkdirSync(join(lock, TOKEN), { recursive: true });
  writeFileSync(join(lock, 'owner.json'), JSON.stringify(owner));
}

const renew = (): void => appendFileSync(join(lock, TOKEN, 'renewals'), '.');

describe('the set-up lock', () => {
  it('has one owner at a time and leaves no files behind', async () => {
    let inside = 0;
    const work = async (): Promise<string> => {
      expect(++inside).toBe(1);
      await new Promise(setImmediate);
      inside -= 1;
      return 'done';
    };
    await Promise.all([set(quickTime(), work), set(quickTime(), work), set(quickTime(), work)]);
    expect(readdirSync(parent)).toEqual([]);
    expect(said[0]).toMatch(
      /^waiting for another process \(process \d+ on .*\), which holds the lock/,
    );
  });

  it('is requested again if another process got it first', async () => {
    let renames = 0;
    beforeRename = (_, to) => {
      if (to === lock && renames++ === 0)
        throw Object.assign(new Error('taken'), { code: 'ENOTEMPTY' });
    };
    expect(await set()).toBe('done');
    expect(renames).toBe(2);
    expect(readdirSync(parent)).toEqual([]);
  });

  it('is released when set-up fails', async () => {
    const fail = async (): Promise<string> => {
      throw new Error('no compiler');
    };
    await expect(set(quickTime(), fail)).rejects.toThrow('no compiler');
    expect(readdirSync(parent)).toEqual([]);
  });

  it('is taken over immediately from a process that is gone', async () => {
    heldBy({ ...here, started: '1', token: TOKEN });
    const time = quickTime();
    expect(await set(time)).toBe('done');
    expect(time.waited).toBe(0);
    expect(said).toEqual([
      `taking over ${lock} from process ${here.pid} on ${here.host}, which is gone`,
    ]);
  });

  describe('in a lower layer of an overlay, where it cannot be renamed,', () => {
    const cannotRename = (then: () => void) => {
      beforeRename = (from) => {
        if (from !== lock) return;
        beforeRename = () => undefined;
        then();
        throw Object.assign(new Error('another layer'), { code: 'EXDEV' });
      };
    };

    it('is removed in place when its owner is gone', async () => {
      heldBy({ ...here, started: '1', token: TOKEN });
      cannotRename(() => undefined);
      expect(await set()).toBe('done');
      expect(said).toEqual([expect.stringMatching(/^taking over .* which is gone$/)]);
      expect(readdirSync(parent)).toEqual([]);
    });

    it('is kept when another process has taken it meanwhile', async () => {
      heldBy({ ...here, started: '1', token: TOKEN });
      cannotRename(() => heldBy({ ...here, host: 'another', token: TOKEN }));
      let seen = '';
      const released = quickTime(() => {
        seen = readFileSync(join(lock, 'owner.json'), 'utf8');
        renameSync(lock, `${parent}/released`);
      });
      expect(await set(released)).toBe('done');
      expect(seen).toContain('"another"');
    });
  });

  it.each([
    ['another host', { ...here, host: 'another', token: TOKEN }, EXPIRY_MILLISECONDS],
    ['another pid namespace', { ...here, namespace: 'pid:[1]', token: TOKEN }, EXPIRY_MILLISECONDS],
    [
      'an older version on another host',
      { host: 'another', pid: 7, started: '1' },
      EXPIRY_MILLISECONDS,
    ],
    ['a suspended process on this host', { ...here, token: TOKEN }, EXPIRY_MILLISECONDS],
    [
      'a process before the last boot',
      { ...here, boot: 'another', token: TOKEN },
      WATCH_MILLISECONDS,
    ],
    ['an owner that is not recorded', 'nothing', WATCH_MILLISECONDS],
  ])('is taken over from %s when it is not renewed', async (_, owner, limit) => {
    heldBy(Object(owner));
    const time = quickTime();
    expect(await set(time)).toBe('done');
    expect(time.waited).toBeGreaterThanOrEqual(limit);
    expect(time.waited).toBeLessThan(2 * limit);
    expect(said.at(-1)).toMatch(/taking over .*, which has not renewed it for \d+ s/);
    expect(said.filter((line) => line.startsWith('still waiting')).length).toBe(
      limit > 60_000 ? 7 : 0,
    );
    expect(readdirSync(parent)).toEqual([]);
  });

  it('makes others wait while it is renewed, with progress messages and a time limit', async () => {
    heldBy({ ...here, host: 'another', token: TOKEN });
    const released = quickTime((waited) => {
      renew();
      if (waited > 2 * EXPIRY_MILLISECONDS) renameSync(lock, `${lock}-released`);
    });
    expect(await set(released)).toBe('done');
    expect(said.every((line) => !line.startsWith('taking over'))).toBe(true);
    expect(said.at(-1)).toMatch(/^still waiting after \d+ s: it is running/);

    renameSync(`${lock}-released`, lock);
    const endless = quickTime(renew);
    await expect(set(endless)).rejects.toMatchObject({
      message: expect.stringContaining('process'),
      fix: expect.stringContaining(`remove ${lock}`),
    });
    expect(endless.waited).toBeGreaterThanOrEqual(MAX_WAIT_MILLISECONDS);
  });

  it('is not taken over from an older version that is running but never renews it', async () => {
    heldBy({ host: here.host, pid: here.pid, started: here.started });
    await expect(set()).rejects.toMatchObject({
      fix: expect.stringContaining('stop that process'),
    });
    expect(existsSync(join(lock, 'owner.json'))).toBe(true);
  });

  it('keeps a suspended owner from publishing once another process has taken it over', async () => {
    const target = join(parent, 'result');
    let tries = 0;
    const result = await withLock(
      lock,
      async (lease) => {
        tries += 1;
        writeFileSync(join(lease.folder, 'half'), `try ${tries}`);
        if (tries === 1) {
          // The process is suspended here, and another process takes the lock over.
          renameSync(lock, `${lock}-taken`);
          heldBy({ ...here, started: '1', token: TOKEN });
          expect(() => lease.check()).toThrow('taken over');
        }
        renameSync(join(lease.folder, 'half'), target);
        return tries;
      },
      say,
      quickTime(),
    );
    expect(result).toBe(2);
    expect(readFileSync(target, 'utf8')).toBe('try 2');
    expect(said[0]).toContain('while this one was suspended; starting again');
  });

  it('is given up when it is lost repeatedly, with an error that counts the losses', async () => {
    const lose = async (lease: { check(): void }): Promise<never> => {
      renameSync(lock, join(parent, `taken-${said.length}`));
      lease.check();
      throw new Error('the lease is lost');
    };
    const lost = { message: expect.stringContaining('3 times'), fix: 'run the command again' };
    await expect(withLock(lock, lose, say, quickTime())).rejects.toMatchObject(lost);
  });

  it('removes the folders that dead processes left beside it', async () => {
    for (const [name, owner] of Object.entries({
      aaaaaaaaaaaa: { started: '1' },
      bbbbbbbbbbbb: {},
    })) {
      mkdirSync(`${lock}.${name}`);
      writeFileSync(join(`${lock}.${name}`, 'owner.json'), JSON.stringify({ ...here, ...owner }));
    }
    writeFileSync(`${lock}.other`, '');
    await set();
    expect(readdirSync(parent)).toEqual(['lock.bbbbbbbbbbbb', 'lock.other']);
  });

  it.each<[string, (file: string) => void]>([
    ['a pipe', (file) => void execFileSync('mkfifo', [file])],
    ['a link to a device', (file) => symlinkSync('/dev/zero', file)],
  ])('is taken over if %s was planted as the record of its owner', async (_, plant) => {
    mkdirSync(join(lock, TOKEN), { recursive: true });
    plant(join(lock, 'owner.json'));
    expect(await lockHolder(lock, quickTime())).toMatchObject({ isRenewed: false });
    expect(await set()).toBe('done');
  });

  it('in /proc is an error', async () => {
    const result = withLock('/proc/nowhere/lock', async () => 'done', say, quickTime());
    await expect(result).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(withLock('/proc/lock', async () => 'done')).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });

  it.each<[string, () => void]>([
    ['a file', () => writeFileSync(lock, 'a file')],
    ['a link', () => symlinkSync(join(parent, 'folder'), lock)],
    ['a folder with other files', () => write(join(lock, 'mine'))],
    [
      'a folder with other files beside the record of an owner that is gone',
      () => {
        heldBy({ ...here, started: '1', token: TOKEN });
        write(join(lock, 'mine'));
      },
    ],
  ])('never removes %s of the user at its path', async (_, create) => {
    write(join(parent, 'folder', 'mine'));
    create();
    const before = readdirSync(parent, { recursive: true });
    await expect(set()).rejects.toMatchObject({
      message: expect.stringContaining(`${lock} is needed for a lock`),
      fix: expect.stringMatching(/^move it away, or use a different cache/),
    });
    expect(readdirSync(parent, { recursive: true })).toEqual(before);
  });

  it('is acquired even if another process removes these folders at the same time', async () => {
    const folder = `${lock}.aaaaaaaaaaaa`;
    mkdirSync(folder);
    writeFileSync(join(folder, 'owner.json'), JSON.stringify({ ...here, started: '1' }));
    beforeList = (path) => path === folder && renameSync(folder, join(parent, 'removed'));
    expect(await set()).toBe('done');
    expect(readdirSync(parent)).toEqual(['removed']);
  });

  it("never removes the user's folders that are named like those of dead processes", async () => {
    const folder = `${lock}.aaaaaaaaaaaa`;
    write(join(folder, 'mine'));
    writeFileSync(join(folder, 'owner.json'), JSON.stringify({ ...here, started: '1' }));
    await set();
    expect(readdirSync(folder)).toEqual(['mine', 'owner.json']);
  });
});

function write(file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, '');
}

describe('what doctor reports about the set-up lock:', () => {
  it.each([
    ['nothing if there is no lock', undefined, undefined],
    ["nothing if its owner's process is gone", { ...here, started: '1' }, undefined],
    [
      'that it is not renewed and will expire',
      { ...here, host: 'another', token: TOKEN },
      { isRenewed: false, expires: true },
    ],
    [
      "that an older version's lock never expires",
      { ...here, namespace: undefined },
      { isRenewed: false, expires: false },
    ],
  ])('%s', async (_, owner, holder) => {
    if (owner !== undefined) heldBy(owner);
    const found = await lockHolder(lock, quickTime());
    if (holder === undefined) expect(found).toBeUndefined();
    else expect(found).toMatchObject({ ...holder, owner: expect.stringContaining('process') });
  });

  it('that it is renewed, and nothing once it is released', async () => {
    heldBy({ ...here, token: TOKEN });
    expect(await lockHolder(lock, quickTime(renew))).toMatchObject({ isRenewed: true });
    const release = (): void => void (existsSync(lock) && renameSync(lock, `${lock}-released`));
    expect(await lockHolder(lock, quickTime(release))).toBeUndefined();
  });
});
