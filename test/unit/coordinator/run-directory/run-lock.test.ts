import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WATCH_MILLISECONDS } from '../../../../bin/owner.mjs';
import {
  systemProcesses,
  type Processes,
} from '../../../../coordinator/run-directory/processes.ts';
import { RunLock, writerOf } from '../../../../coordinator/run-directory/run-lock.ts';
import { systemDisk, type Disk } from '../../../../shared/disk/disk.ts';
import { systemClock, type Clock } from '../../../../shared/clock.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

/** A clock on which every wait ends immediately, after a call of `onWait`. */
function quickClock(onWait: () => void = () => undefined): Clock & { waited: number } {
  const clock = {
    ...systemClock,
    waited: 0,
    now: () => clock.waited,
    after: (milliseconds: number, task: () => void) => {
      clock.waited += milliseconds;
      onWait();
      setImmediate(task);
      return () => undefined;
    },
  };
  return clock;
}

const take = (
  folder: string,
  takeOver: boolean,
  processes = systemProcesses,
  clock: Clock = quickClock(),
) => RunLock.take(folder, takeOver, { disk: systemDisk, clock, processes });
const writer = (folder: string) => writerOf(folder, systemDisk, systemProcesses);
const self = systemProcesses.self();

/** The system's processes, except that this one has the given properties. */
function processesOf(owner: Partial<ReturnType<Processes['self']>>): Processes {
  return { ...systemProcesses, self: () => ({ ...self, ...owner }) };
}

/** Takes the lock, then rewrites owner.json to name another owner. */
async function lockOf(folder: string, owner: object): Promise<void> {
  const { staging } = await take(folder, false);
  writeFileSync(join(staging, 'owner.json'), JSON.stringify({ ...self, ...owner }));
}

/** Writes the lock of a version that knew neither namespaces nor staging folders with an owner. */
function oldLockOf(folder: string, owner: object): void {
  const { host, boot, pid, started } = self;
  writeFileSync(join(folder, 'lock.json'), JSON.stringify({ host, boot, pid, started, ...owner }));
}

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid ?? 0;
}

describe("a run's lock", () => {
  it('belongs to one process at a time', async () => {
    const folder = temporaryFolder();
    const lock = await take(folder, false);
    await expect(take(folder, true)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining(
        `process ${process.pid} on ${hostname()} is running this run`,
      ),
    });
    await lock.release();
    await (await take(folder, false)).release();
    expect(readdirSync(folder)).toEqual(['.drafts-1', '.drafts-2']);
    expect(readdirSync(lock.staging)).toEqual(['ended.json']);
  });

  it('is taken from a copied directory only on request', async () => {
    const [folder, copy] = [temporaryFolder(), join(temporaryFolder(), 'copy')];
    const lock = await take(folder, false);
    cpSync(folder, copy, { recursive: true });
    await expect(take(copy, false)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('seems to be a copy of the one in use'),
      fix: 'if that process does not use this copy, set --take-over',
    });
    await (await take(copy, true)).release();
    expect(await writer(copy)).toBeUndefined();
    expect(await lock.status()).toBe('held');
    await expect(take(folder, true)).rejects.toMatchObject({ code: 'LOCKED' });
  });

  it('has one owner even if listings are out of date, as over SFTP', async () => {
    const folder = temporaryFolder();
    await take(folder, false);
    let listings = 0;
    const list = async (path: string) =>
      (await systemDisk.list(path)).filter((name) => name !== '.drafts-1' || ++listings > 3);
    rmSync(join(folder, 'lock.json'));
    const late = RunLock.take(folder, false, {
      disk: { ...systemDisk, list },
      clock: quickClock(),
      processes: systemProcesses,
    });
    await expect(late).rejects.toMatchObject({ code: 'LOCKED' });
  });

  it('ignores a folder that is removed while folders are listed', async () => {
    const folder = temporaryFolder();
    const list = async (path: string) => [
      ...(await systemDisk.list(path)),
      '.drafts-new-0123456789ab',
    ];
    const lock = await RunLock.take(folder, false, {
      disk: { ...systemDisk, list },
      clock: quickClock(),
      processes: systemProcesses,
    });
    expect(await lock.status()).toBe('held');
    await lock.removeOlderStaging();
  });

  it('is taken by only one of two processes that find it free at the same moment', async () => {
    const folder = temporaryFolder();
    let arrived: (() => void) | undefined;
    const both = new Promise<void>((resolve) => (arrived = resolve));
    let waiting = 0;
    const rename = async (from: string, to: string) => {
      if (to.endsWith('.drafts-1')) {
        if (++waiting === 2) arrived?.();
        await both;
      }
      await systemDisk.rename(from, to);
    };
    const place = {
      disk: { ...systemDisk, rename },
      clock: quickClock(),
      processes: systemProcesses,
    };
    const all = await Promise.allSettled([1, 2].map(() => RunLock.take(folder, false, place)));
    const taken = all.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    expect(taken).toHaveLength(1);
    expect(all.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'LOCKED' },
    });
    await taken[0]?.removeOlderStaging();
    expect(await taken[0]?.status()).toBe('held');
    expect(readdirSync(folder)).toEqual(['.drafts-1', 'lock.json']);
  });

  it.each([
    ['a process that is gone', async () => ({ pid: await deadPid() })],
    ['a process whose pid now belongs to another one', async () => ({ started: '2' })],
    ['a process from before the last boot', async () => ({ boot: 'another' })],
  ])('is taken over from %s', async (_, owner) => {
    const folder = temporaryFolder();
    await lockOf(folder, await owner());
    await (await take(folder, false)).release();
  });

  it('is taken over from a zombie', async () => {
    const folder = temporaryFolder();
    // The shell execs a program that never reaps its child.
    const parent = spawn('sh', [
      '-c',
      'sleep 60 & echo $! $(cut -d" " -f22 /proc/$!/stat); exec sleep 60',
    ]);
    try {
      const [line]: Buffer[] = await once(parent.stdout, 'data');
      const [pid = '', started = ''] = String(line).trim().split(' ');
      // Until the exec, the shell would still reap the child.
      const program = () => readFileSync(`/proc/${parent.pid}/comm`, 'utf8').trim();
      await expect.poll(program).toBe('sleep');
      process.kill(Number(pid), 'SIGKILL');
      const state = () => readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ')[2];
      await expect.poll(state).toBe('Z');
      await lockOf(folder, { pid: Number(pid), started });
      expect(await writer(folder)).toBeUndefined();
      await (await take(folder, false)).release();
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it.each([
    [
      'another host',
      { host: 'another' },
      /process \d+ on another has the lock .* this host cannot see/,
    ],
    ['another pid namespace on this host', { namespace: 'pid:[1]' }, /another pid namespace/],
  ])('is taken over from %s only on request', async (_, owner, message) => {
    const folder = temporaryFolder();
    await lockOf(folder, owner);
    const clock = quickClock();
    await expect(take(folder, false, systemProcesses, clock)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringMatching(message),
      fix: expect.stringContaining('--take-over'),
    });
    expect(clock.waited).toBeGreaterThanOrEqual(WATCH_MILLISECONDS);
    await (await take(folder, true)).release();
  });

  it('is watched if its owner is not visible: a renewal shows that it is running', async () => {
    const folder = temporaryFolder();
    const rebooted = processesOf({ boot: 'another' });
    const lock = await take(folder, false);
    let waits = 0;
    // The observer measures by its own clock, not by file times, how long the lock is unchanged.
    const clock = quickClock(() => void (++waits === 3 && void lock.renew()));
    await expect(take(folder, false, rebooted, clock)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('has just renewed its lock'),
      fix: expect.stringContaining('--take-over'),
    });
    const unmoved = quickClock();
    const next = await take(folder, false, rebooted, unmoved);
    expect(unmoved.waited).toBeGreaterThanOrEqual(WATCH_MILLISECONDS);
    expect(await lock.status()).toBe('taken');
    await next.release();
  });

  it('is taken as soon as it is released, even while it is being watched', async () => {
    const folder = temporaryFolder();
    const lock = await take(folder, false);
    let waits = 0;
    const clock = quickClock(() => void (++waits === 2 && void lock.release()));
    await (await take(folder, false, processesOf({ host: 'another' }), clock)).release();
    expect(clock.waited).toBeLessThan(WATCH_MILLISECONDS);
  });

  it('is respected if an older version wrote it', async () => {
    const folder = temporaryFolder();
    oldLockOf(folder, {});
    const running = { code: 'LOCKED', message: expect.stringContaining('is running this run') };
    await expect(take(folder, true)).rejects.toMatchObject(running);
    expect(await writer(folder)).toBe(`process ${process.pid} on ${hostname()}`);
    // The lock's process may be in another pid namespace.
    oldLockOf(folder, { pid: await deadPid() });
    const hidden = { ...systemProcesses, mayRunUnseen: () => true };
    await expect(take(folder, false, hidden)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('an older version wrote the lock'),
    });
    expect(await writerOf(folder, systemDisk, hidden)).toMatch(
      /^process \d+ on .*, if it is still running,$/,
    );
    await (await take(folder, true, hidden)).release();
  });

  it('is taken over from a crashed older version if every process can be seen', async () => {
    const folder = temporaryFolder();
    oldLockOf(folder, { pid: await deadPid() });
    const clock = quickClock();
    const all = { ...systemProcesses, mayRunUnseen: () => false };
    expect(await writerOf(folder, systemDisk, all)).toBeUndefined();
    await (await take(folder, false, all, clock)).release();
    expect(clock.waited).toBe(0);
  });

  it('is taken over from an unreadable newer version only on request', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'lock.json'), '{"owners":[1]}');
    await expect(take(folder, false)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('a process of another version'),
    });
    await (await take(folder, true)).release();
  });

  it('can be recognised by older versions, which see its owner', async () => {
    const folder = temporaryFolder();
    const lock = await take(folder, false);
    const { namespace: _, ...old } = self;
    expect(JSON.parse(readFileSync(join(folder, 'lock.json'), 'utf8'))).toEqual(old);
    await lock.release();
    expect(existsSync(join(folder, 'lock.json'))).toBe(false);
  });

  it('may be taken if it was only partly written', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'lock.json'), '{"host":');
    const { staging } = await take(folder, false);
    writeFileSync(join(staging, 'owner.json'), '');
    rmSync(join(folder, 'lock.json'));
    await (await take(folder, false)).release();
  });

  it('is not released by a process that lost it', async () => {
    const folder = temporaryFolder();
    const lock = await take(folder, false, processesOf({ host: 'elsewhere' }));
    expect(await lock.status()).toBe('held');
    const next = await take(folder, true);
    expect(await lock.status()).toBe('taken');
    await lock.release();
    expect(existsSync(join(folder, 'lock.json'))).toBe(true);
    await next.removeOlderStaging();
    expect(await lock.status()).toBe('taken');
    await lock.release();
    expect(await next.status()).toBe('held');
    await next.release();
    expect(await lock.status()).toBe('taken');
  });

  it('is not taken by a process that was suspended while two others took it', async () => {
    const folder = temporaryFolder();
    let isFirst = true;
    // The process is suspended after it has read the folder. In the meantime, two others take the
    // run.
    const makeDirectory = async (path: string) => {
      if (isFirst) {
        isFirst = false;
        await (await take(folder, false)).release();
        await (await take(folder, false)).removeOlderStaging();
      }
      await systemDisk.makeDirectory(path);
    };
    const place = {
      disk: { ...systemDisk, makeDirectory },
      clock: quickClock(),
      processes: systemProcesses,
    };
    await expect(RunLock.take(folder, false, place)).rejects.toMatchObject({ code: 'LOCKED' });
    expect(readdirSync(folder)).toEqual(['.drafts-2', 'lock.json']);
  });

  it('is not taken over from an owner that itself took it over in the meantime', async () => {
    const folder = temporaryFolder();
    await lockOf(folder, { host: 'first' });
    let isFirst = true;
    // The process is suspended after it has read the folder.
    const makeDirectory = async (path: string) => {
      if (isFirst) {
        isFirst = false;
        await take(folder, true, processesOf({ host: 'second' }));
      }
      await systemDisk.makeDirectory(path);
    };
    const place = {
      disk: { ...systemDisk, makeDirectory },
      clock: quickClock(),
      processes: processesOf({ host: 'third' }),
    };
    await expect(RunLock.take(folder, true, place)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('second'),
    });
    await expect(RunLock.take(folder, true, place)).resolves.toBeDefined();
  });

  it('reports a removed run as gone, not as taken over', async () => {
    const folder = join(temporaryFolder(), 'run');
    mkdirSync(folder);
    const lock = await take(folder, false);
    renameSync(folder, `${folder}-moved`);
    expect(await lock.status()).toBe('gone');
    expect(lock.lost('gone')).toMatchObject({
      code: 'DISK',
      message: expect.stringContaining('is gone'),
    });
    mkdirSync(folder);
    expect(await lock.status()).toBe('gone');
    await lock.release();
  });

  it('fences off a folder that FUSE does not empty while a file in it is open', async () => {
    const folder = temporaryFolder();
    const suspended = await take(folder, false, processesOf({ host: 'elsewhere' }));
    const next = await take(folder, true);
    const disk: Disk = {
      ...systemDisk,
      // FUSE renames a removed file that a process has open to a hidden name in the same folder.
      openFolder: async (path) => {
        const opened = await systemDisk.openFolder(path);
        return {
          list: () => opened.list(),
          remove: () => Promise.resolve(),
          close: () => opened.close(),
        };
      },
    };
    const fenced = await RunLock.take(folder, true, {
      disk,
      clock: quickClock(),
      processes: processesOf({ host: 'a third one' }),
    });
    await fenced.removeOlderStaging();
    expect(existsSync(suspended.staging)).toBe(false);
    expect(existsSync(next.staging)).toBe(false);
    expect(await next.status()).toBe('taken');
    expect(await fenced.status()).toBe('held');
  });

  it('never follows a link with the name of a staging folder', async () => {
    const folder = temporaryFolder();
    const elsewhere = temporaryFolder();
    writeFileSync(join(elsewhere, 'precious'), '');
    symlinkSync(elsewhere, join(folder, '.drafts-3'));
    symlinkSync(elsewhere, join(folder, '.drafts-new-0123456789ab'));
    writeFileSync(join(folder, '.drafts-4'), '');
    const lock = await take(folder, false);
    await lock.removeOlderStaging();
    await lock.release();
    expect(readdirSync(elsewhere)).toEqual(['precious']);
    expect(lock.staging).toBe(join(folder, '.drafts-5'));
  });

  it('is numbered above all older locks, and is refused after the highest number', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, '.drafts-999999999'));
    const lock = await take(folder, false);
    expect(lock.staging).toBe(join(folder, '.drafts-1000000000'));
    await lock.release();
    mkdirSync(join(folder, '.drafts-999999999999999'));
    await expect(take(folder, false)).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining('.drafts-999999999999999 has the highest number'),
      fix: expect.stringContaining('remove it'),
    });
  });

  it('reports the process that may be running, and does not change', async () => {
    const folder = temporaryFolder();
    expect(await writer(folder)).toBeUndefined();
    const lock = await take(folder, false);
    expect(await writer(folder)).toBe(`process ${process.pid} on ${hostname()}`);
    expect(readdirSync(folder)).toEqual(['.drafts-1', 'lock.json']);
    await lock.release();
    expect(await writer(folder)).toBeUndefined();
    await lockOf(folder, { host: 'another', pid: 7 });
    expect(await writer(folder)).toBe('process 7 on another, if it is still running,');
    for (const owner of [{ pid: await deadPid() }, { started: '2' }, { boot: 'another' }]) {
      writeFileSync(join(folder, '.drafts-2', 'owner.json'), JSON.stringify({ ...self, ...owner }));
      expect(await writer(folder)).toBeUndefined();
    }
    expect(await writer(join(folder, 'absent'))).toBeUndefined();
  });
});
