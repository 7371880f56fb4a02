import { describe, expect, it } from 'vitest';
import { fateOf, isRunning, LOOK_MILLISECONDS, thisProcess, Watch } from '../../bin/owner.mjs';

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
    ['of another pid namespace where its number is free here', { namespace: 'pid:[1]' }, never, 'elsewhere'],
    ['of an older version that can be seen', { namespace: undefined }, always, 'running'],
    ['of an older version that cannot be seen', { namespace: undefined }, never, 'elsewhere'],
    ['of the oldest version', { namespace: undefined, boot: undefined }, never, 'elsewhere'],
  ] as const)('%s', (_, owner, running, fate) => {
    expect(fateOf({ ...here, ...owner }, here, running)).toBe(fate);
  });

  it('is running while its process is', () => {
    expect(here.namespace).toMatch(/^pid:\[\d+\]$/);
    expect(isRunning(here.pid, here.started)).toBe(true);
    expect(isRunning(here.pid, '1')).toBe(false);
    expect(isRunning(2 ** 22 + 1, here.started)).toBe(false);
  });
});

describe('a watch', () => {
  it('counts how long a lock has shown the same', () => {
    const watch = new Watch('a', 1_000);
    watch.look('a', 1_500);
    expect([watch.unmoved, watch.isRenewed]).toEqual([500, false]);
    watch.look('b', 2_000);
    expect([watch.unmoved, watch.isRenewed]).toEqual([0, true]);
    watch.look('b', 2_250);
    expect([watch.unmoved, watch.isRenewed]).toEqual([250, true]);
  });

  it('counts no time in which it could not look', () => {
    const watch = new Watch('a', 0);
    watch.look('a', 3_600_000);
    expect(watch.unmoved).toBeLessThanOrEqual(4 * LOOK_MILLISECONDS);
  });
});
