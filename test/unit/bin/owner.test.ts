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
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const here = thisProcess();
const always = () => true;
const never = () => false;

describe('the owner of a lock', () => {
  it.each([
    ['is running if it is this process', {}, always, 'running'],
    ['is gone if its process is gone', {}, never, 'gone'],
    ['is elsewhere if it is on another host', { host: 'another' }, always, 'elsewhere'],
    [
      'is elsewhere if it is on another host, even with the same boot id',
      { host: 'another' },
      never,
      'elsewhere',
    ],
    ['has rebooted if its boot id differs', { boot: 'another' }, always, 'rebooted'],
    [
      'is elsewhere if it is in another pid namespace',
      { namespace: 'pid:[1]' },
      always,
      'elsewhere',
    ],
    [
      'is elsewhere if it is in another pid namespace, even if its pid is unused in this one',
      { namespace: 'pid:[1]' },
      never,
      'elsewhere',
    ],
    [
      'is running if an older version recorded it and its process is visible',
      { namespace: undefined },
      always,
      'running',
    ],
    [
      'is elsewhere if the oldest version recorded it and its process is not visible',
      { namespace: undefined, boot: undefined },
      never,
      'elsewhere',
    ],
  ] as const)('%s', (_, owner, running, fate) => {
    const processes = { self: () => here, isRunning: running, mayRunUnseen: never };
    expect(fateOf({ ...here, ...owner }, processes)).toBe(fate);
  });

  it.each([
    ['is gone if every process is visible', never, 'gone'],
    ['is elsewhere if its process may have a different pid here', always, 'elsewhere'],
  ] as const)('that an older version recorded, with an unused pid, %s', (_, mayRunUnseen, fate) => {
    const processes = { self: () => here, isRunning: never, mayRunUnseen };
    expect(fateOf({ ...here, namespace: undefined }, processes)).toBe(fate);
  });

  it('is running while a process with its pid and start time exists', () => {
    expect(here.namespace).toMatch(/^pid:\[\d+\]$/);
    expect(isRunning(here.pid, here.started)).toBe(true);
    expect(isRunning(here.pid, '1')).toBe(false);
    expect(isRunning(2 ** 22 + 1, here.started)).toBe(false);
  });
});

describe('a process that is known only by its start time', () => {
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

  it('is gone if all processes on the machine are visible and none has its start time', () => {
    expect(mayRunUnseen('4712', proc)).toBe(false);
    expect(mayRunUnseen('4711', proc)).toBe(true);
    expect(mayRunUnseen('', proc)).toBe(true);
    // This process has ended since the list was read.
    mkdirSync(join(proc, '78'));
    expect(mayRunUnseen('4712', proc)).toBe(false);
  });

  it('may be running if a container or /proc hides some processes', () => {
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

  it("may be running if one process's entry cannot be read", () => {
    // Imitates hidepid=1: even root cannot read a folder as a file.
    rmSync(join(proc, '77', 'stat'));
    mkdirSync(join(proc, '77', 'stat'));
    expect(mayRunUnseen('4712', proc)).toBe(true);
  });

  it('may be running if this process has the same start time', () => {
    expect(mayRunUnseen(here.started)).toBe(true);
  });
});

describe('a watch', () => {
  it("measures how long a lock's content has stayed unchanged", () => {
    const watch = new Watch('a', 1_000);
    watch.look('a', 1_500);
    expect([watch.unmoved, watch.isRenewed]).toEqual([500, false]);
    watch.look('b', 2_000);
    expect([watch.unmoved, watch.isRenewed]).toEqual([0, true]);
    watch.look('b', 2_250);
    expect([watch.unmoved, watch.isRenewed]).toEqual([250, true]);
  });

  it('does not count time during which it was not called', () => {
    const watch = new Watch('a', 0);
    watch.look('a', 3_600_000);
    expect(watch.unmoved).toBeLessThanOrEqual(4 * LOOK_MILLISECONDS);
  });
});
