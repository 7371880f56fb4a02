import { expect, it } from 'vitest';
import { EventLimit } from '../../../coordinator/event-limit.ts';
import {
  EVENT_INTERVAL_MILLISECONDS,
  MAX_INTERVAL_EVENTS,
  MAX_INTERVAL_EVENTS_OF_ONE,
} from '../../../shared/limits.ts';

function admitted(limit: EventLimit, worker: (index: number) => string, count: number): number {
  return Array.from({ length: count }, (_, i) => limit.admits(worker(i))).filter(Boolean).length;
}

it("the event limit caps one worker's events per interval, and leaves room for others", () => {
  const limit = new EventLimit();
  expect(limit.take(0)).toEqual([]);
  expect(admitted(limit, () => 'w0', 10_000)).toBe(MAX_INTERVAL_EVENTS_OF_ONE);
  expect(limit.admits('w1')).toBe(true);
  expect(limit.take(EVENT_INTERVAL_MILLISECONDS - 1)).toEqual([]);
  expect(limit.take(EVENT_INTERVAL_MILLISECONDS)).toEqual([
    { worker: 'w0', count: 10_000 - MAX_INTERVAL_EVENTS_OF_ONE },
  ]);
  expect(limit.admits('w0'), 'in the next interval').toBe(true);
});

it('the event limit caps the events of all workers together and the names it remembers', () => {
  const limit = new EventLimit();
  limit.take(0);
  expect(admitted(limit, (i) => `w${i}`, 100_000)).toBe(MAX_INTERVAL_EVENTS);
  expect(limit.take(1, true)).toEqual([
    { worker: undefined, count: 100_000 - MAX_INTERVAL_EVENTS },
  ]);
});
