import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { systemProcesses } from '../../coordinator/processes.ts';
import { RunLock, writerOf } from '../../coordinator/run-lock.ts';
import { systemDisk } from '../../data/disk.ts';
import { temporaryFolder } from '../process/cluster.ts';

const take = (folder: string, takeOver: boolean, processes = systemProcesses) =>
  RunLock.take(folder, takeOver, systemDisk, processes, folder);
const writer = (folder: string) => writerOf(folder, systemDisk, systemProcesses);
const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();

function lockOf(folder: string, owner: object): void {
  const self = { host: hostname(), boot, pid: process.pid, started: '1' };
  writeFileSync(join(folder, 'lock.json'), JSON.stringify({ ...self, ...owner }));
}

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ['--version'], { stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid ?? 0;
}

describe('the lock of a run', () => {
  it('is one process’ at a time', async () => {
    const folder = temporaryFolder();
    const lock = await take(folder, false);
    await expect(take(folder, true)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining(`process ${process.pid} on ${hostname()} is at work`),
    });
    await lock.release();
    await (await take(folder, false)).release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([
    ['a process that is gone', async () => ({ pid: await deadPid() })],
    ['a process whose number another one has now', async () => ({ started: '2' })],
    ['a process before the last boot', async () => ({ boot: 'another' })],
  ])('is taken over from %s', async (_, owner) => {
    const folder = temporaryFolder();
    lockOf(folder, await owner());
    await (await take(folder, false)).release();
  });

  it('of another host is taken over only on request', async () => {
    const folder = temporaryFolder();
    lockOf(folder, { host: 'another' });
    await expect(take(folder, false)).rejects.toMatchObject({
      code: 'LOCKED',
      message: expect.stringContaining('on another'),
      fix: expect.stringContaining('--take-over'),
    });
    await (await take(folder, true)).release();
  });

  it('that was not written whole is nobody’s', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'lock.json'), '{"host":');
    await (await take(folder, false)).release();
  });

  it('is not released by who lost it', async () => {
    const folder = temporaryFolder();
    const elsewhere = { ...systemProcesses, self: () => ({ ...systemProcesses.self(), host: 'elsewhere' }) };
    const lock = await take(folder, false, elsewhere);
    expect(await lock.holder()).toBe('we');
    const next = await take(folder, true);
    expect(await lock.holder()).toBe('another');
    await lock.release();
    expect(await next.holder()).toBe('we');
    await next.release();
    expect(await lock.holder()).toBe('nobody');
  });

  it('says who may be at work, and stays as it is', async () => {
    const folder = temporaryFolder();
    expect(await writer(folder)).toBeUndefined();
    const lock = await take(folder, false);
    expect(await writer(folder)).toBe(`process ${process.pid} on ${hostname()}`);
    expect(readdirSync(folder)).toEqual(['lock.json']);
    await lock.release();
    lockOf(folder, { host: 'another', pid: 7 });
    expect(await writer(folder)).toBe('process 7 on another');
    for (const owner of [{ pid: await deadPid() }, { started: '2' }, { boot: 'another' }]) {
      lockOf(folder, owner);
      expect(await writer(folder)).toBeUndefined();
    }
  });
});
