import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  fateOf,
  isRunning,
  LOOK_MILLISECONDS,
  mayRunUnseen,
  thisProcess,
  Watch,
} from '../../../bin/owner.mjs';
import { temporaryFolder } from '../../fixtures/processes.ts';

const here = thisProcess();
const always = () => true;
const never = () => false;

describe('the owner of a lock', () => {
  it.each([
    ['of this process', {}, always, 'running'],
    ['that is gone', {}, never, 'gone'],
    ['of another host', { host: 'another' }, always, 'elsewhere'],
    ['of another host, with the boot of this one', { host: 'another' }, never, 'elsewhere'],
    ['before the last boot', { boot: 'another' }, always, 'rebooted'],
    ['of another pid namespace', { namespace: 'pid:[1]' }, always, 'elsewhere'],
    [
      'of another pid namespace where its number is free here',
      { namespace: 'pid:[1]' },
      never,
      'elsewhere',
    ],
    ['of an older version that is visible', { namespace: undefined }, always, 'running'],
    ['of the oldest version', { namespace: undefined, boot: undefined }, never, 'elsewhere'],
  ] as const)('%s', (_, owner, running, fate) => {
    const processes = { self: () => here, isRunning: running, mayRunUnseen: never };
    expect(fateOf({ ...here, ...owner }, processes)).toBe(fate);
  });

  it.each([
    ['is gone where every process is visible', never, 'gone'],
    ['is elsewhere where its process may have another number here', always, 'elsewhere'],
  ] as const)('of an older version whose number is free %s', (_, mayRunUnseen, fate) => {
    const processes = { self: () => here, isRunning: never, mayRunUnseen };
    expect(fateOf({ ...here, namespace: undefined }, processes)).toBe(fate);
  });

  it('is running while its process is', () => {
    expect(here.namespace).toMatch(/^pid:\[\d+\]$/);
    expect(isRunning(here.pid, here.started)).toBe(true);
    expect(isRunning(here.pid, '1')).toBe(false);
    expect(isRunning(2 ** 22 + 1, here.started)).toBe(false);
  });
});

describe('a process that is known by its start time only', () => {
  let proc = '';
  const add = (pid: string, started: string, name = 'node') => {
    mkdirSync(join(proc, pid));
    const fields = ['S', ...Array.from({ length: 18 }, () => '0'), started, '0'];
    writeFileSync(join(proc, pid, 'stat'), `${pid} (${name}) ${fields.join(' ')}\n`);
  };
  beforeEach(() => {
    proc = temporaryFolder();
    mkdirSync(join(proc, 'self', 'ns'), { recursive: true });
    symlinkSync('pid:[4026531836]', join(proc, 'self', 'ns', 'pid'));
    add('1', '5');
    add('77', '4711', 'a ) name');
  });

  it('is gone where all processes of the machine are visible and none has its start time', () => {
    expect(mayRunUnseen('4712', proc)).toBe(false);
    expect(mayRunUnseen('4711', proc)).toBe(true);
    expect(mayRunUnseen('', proc)).toBe(true);
    // This process has ended since the list was read.
    mkdirSync(join(proc, '78'));
    expect(mayRunUnseen('4712', proc)).toBe(false);
  });

  it('may run where some processes are hidden, by a container or by /proc', () => {
    writeFileSync(join(proc, '77', 'stat'), '');
    expect(mayRunUnseen('4712', proc)).toBe(true);
    rmSync(join(proc, '77'), { recursive: true });
    expect(mayRunUnseen('4712', proc)).toBe(false);
    rmSync(join(proc, '1'), { recursive: true });
    expect(mayRunUnseen('4712', proc)).toBe(true);
    add('1', '5');
    rmSync(join(proc, 'self', 'ns', 'pid'));
    symlinkSync('pid:[4026532201]', join(proc, 'self', 'ns', 'pid'));
    expect(mayRunUnseen('4712', proc)).toBe(true);
    expect(mayRunUnseen('4712', join(proc, 'none'))).toBe(true);
  });

  it('may run where the entry of one process cannot be read', () => {
    // Stands in for hidepid=1: even root cannot read a folder as a file.
    rmSync(join(proc, '77', 'stat'));
    mkdirSync(join(proc, '77', 'stat'));
    expect(mayRunUnseen('4712', proc)).toBe(true);
  });

  it('may run where its start time is that of this process', () => {
    expect(mayRunUnseen(here.started)).toBe(true);
  });
});

describe('a watch', () => {
  it('counts how long the content of a lock has not changed', () => {
    const watch = new Watch('a', 1_000);
    watch.look('a', 1_500);
    expect([watch.unmoved, watch.isRenewed]).toEqual([500, false]);
    watch.look('b', 2_000);
    expect([watch.unmoved, watch.isRenewed]).toEqual([0, true]);
    watch.look('b', 2_250);
    expect([watch.unmoved, watch.isRenewed]).toEqual([250, true]);
  });

  it('does not count time in which it could not look', () => {
    const watch = new Watch('a', 0);
    watch.look('a', 3_600_000);
    expect(watch.unmoved).toBeLessThanOrEqual(4 * LOOK_MILLISECONDS);
  });
});
