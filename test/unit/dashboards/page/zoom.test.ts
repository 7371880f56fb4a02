import { describe, expect, it } from 'vitest';
import { Zoom } from '../../../../dashboards/page/plot/zoom.ts';

const LAST = 1000;

describe('the range of steps that charts show', () => {
  it('is all steps until a range is chosen, and again after a reset', () => {
    let changes = 0;
    const zoom = new Zoom(() => (changes += 1));
    expect(zoom.range(LAST)).toEqual([0, 1000]);
    zoom.set(200, 300);
    expect([zoom.range(LAST), zoom.isActive]).toEqual([[200, 300], true]);
    zoom.reset();
    zoom.reset();
    expect([zoom.range(LAST), zoom.isActive, changes]).toEqual([[0, 1000], false, 2]);
  });

  it('is at least two steps wide, and ends with the run', () => {
    const zoom = new Zoom(() => undefined);
    zoom.set(100, 100);
    expect(zoom.range(LAST)).toEqual([99, 101]);
    zoom.set(900, 2000);
    expect(zoom.range(LAST)).toEqual([900, 1000]);
    // Another run, which is shorter, is chosen.
    expect(zoom.range(500)).toEqual([0, 500]);
  });

  it('narrows and widens around the cursor, by keys', () => {
    const zoom = new Zoom(() => undefined);
    expect(zoom.take('+', LAST, 100)).toBe(true);
    expect(zoom.range(LAST)).toEqual([50, 550]);
    expect(zoom.take('+', LAST)).toBe(true);
    expect(zoom.range(LAST)).toEqual([175, 425]);
    expect(zoom.take('-', LAST)).toBe(true);
    expect(zoom.range(LAST)).toEqual([50, 550]);
    expect(zoom.take('-', LAST)).toBe(true);
    expect(zoom.isActive).toBe(false);
    zoom.set(1, 9);
    expect([zoom.take('Escape', LAST), zoom.isActive]).toEqual([true, false]);
    expect(zoom.take('a', LAST)).toBe(false);
  });
});
