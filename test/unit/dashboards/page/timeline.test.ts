import { expect, test } from 'vitest';
import type { StateChange } from '../../../../dashboards/feed/api.ts';
import { timelines } from '../../../../dashboards/page/timeline.ts';

const change = (at: number, worker: string, state: StateChange['state']): StateChange => ({
  at,
  worker,
  state,
});

test("workers' timelines begin with their first change, end now and are clipped", () => {
  const changes = [
    change(0, 'a', 'preparing'),
    change(10, 'a', 'training'),
    change(12, 'b', 'training'),
    change(20, 'a', 'lost'),
    change(24, 'a', 'lost'),
    change(30, 'a', 'training'),
  ];
  const found = timelines(changes, 5, 40);
  expect(found.get('a')).toEqual([
    { state: 'preparing', from: 5, to: 10 },
    { state: 'training', from: 10, to: 20 },
    { state: 'lost', from: 20, to: 30 },
    { state: 'training', from: 30, to: 40 },
  ]);
  expect(found.get('b')).toEqual([{ state: 'training', from: 12, to: 40 }]);
  expect(timelines(changes, 25, 40).get('a')?.[0]).toEqual({ state: 'lost', from: 25, to: 30 });
  expect(timelines(changes, 5, 40).get('c')).toBeUndefined();
});
