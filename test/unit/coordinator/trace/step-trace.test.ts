import { describe, expect, it } from 'vitest';
import { StepTrace, type Traced } from '../../../../coordinator/trace/step-trace.ts';
import { traceEvents, type TraceEvent } from '../../../../coordinator/trace/trace-events.ts';
import type { Effect } from '../../../../coordinator/decisions/effects.ts';
import { MAX_TRACED } from '../../../../shared/limits/trace.ts';
import type { Marks } from '../../../../shared/wire/message-fields.ts';

const fence = { run: 'r', term: 1 };
/** The worker's clock is ahead of the coordinator's by this many milliseconds. */
const AHEAD = 5_000;

const sending = (step: number): Effect => ({
  kind: 'broadcast',
  slots: [0],
  message: { kind: 'step', ...fence, step, assignment: [[0, 1]] },
});
const receiving: Effect = {
  kind: 'receive',
  task: 'step',
  part: 1,
  slot: 0,
  correct: 0,
  microseconds: 2000,
  isDigested: false,
};
const updating = (step: number): Effect => ({ kind: 'update', step, correct: 0 });

/** A coordinator with one worker, whose steps take eleven milliseconds. */
class Coordinator {
  now = 100;
  traced: Traced | undefined;
  readonly trace: StepTrace;

  constructor(from: number, to: number) {
    this.trace = new StepTrace(
      { from, to },
      () => this.now,
      (traced) => {
        this.traced = traced;
      },
    );
    this.trace.connected(0);
  }

  perform(effect: Effect, milliseconds: number): void {
    this.trace.around(effect, () => {
      this.now += milliseconds;
    });
  }

  step(step: number, change: (marks: Marks) => Marks | undefined = (marks) => marks): void {
    this.perform(sending(step), 1);
    const at = (later: number) => 1000 * (this.now + later + AHEAD);
    const marks = {
      received: at(1),
      begun: at(2),
      built: at(3),
      prefetched: [at(-2), at(-1)] as [number, number],
    };
    this.now += 7;
    const message = { kind: 'gradient' as const, ...fence, step, part: 1, correct: 0 };
    const changed = change(marks);
    const more = changed === undefined ? {} : { marks: changed };
    this.trace.result(0, 'w0', { ...message, microseconds: 3000, ...more });
    this.perform(receiving, 1);
    this.perform(updating(step), 2);
  }
}

const spansOf = (events: Iterable<TraceEvent>) => [...events].filter((event) => event.ph === 'X');
const brief = ({ name, ts, dur }: { name: string; ts: number; dur: number }) => [
  name,
  ts / 1000,
  dur / 1000,
];

function traced(steps: readonly number[], change?: (marks: Marks) => Marks | undefined) {
  const coordinator = new Coordinator(2, 3);
  for (const step of steps) coordinator.step(step, change);
  return coordinator;
}

describe('a trace of steps 2 and 3', () => {
  it('is done when step 4 begins, or when the run ends', () => {
    expect(traced([1, 2, 3]).traced).toBeUndefined();
    expect(traced([1, 2, 3, 4]).traced?.spans.map(({ step }) => step)).not.toContain(1);
    const ended = traced([1, 2]);
    ended.trace.end();
    expect(new Set(ended.traced?.spans.map(({ step }) => step))).toEqual(new Set([2]));
    const none = traced([1]);
    none.trace.end();
    expect(none.traced).toBeUndefined();
  });

  it("has the coordinator's work, and its waits", () => {
    const { traced: found } = traced([1, 2, 3, 4]);
    const spans = spansOf(traceEvents(found ?? { spans: [], results: [], leftOut: 0 }));
    expect(spans.filter(({ pid, tid }) => pid === 1 && tid === 2).map(brief)).toEqual([
      ['send', 0, 1],
      ['wait', 1, 7],
      ['receive', 8, 1],
      ['update', 9, 2],
      ['send', 11, 1],
      ['wait', 12, 7],
      ['receive', 19, 1],
      ['update', 20, 2],
    ]);
    expect(spans.filter(({ pid, tid }) => pid === 1 && tid === 1).map(brief)).toEqual([
      ['step 2', 0, 11],
      ['step 3', 11, 11],
    ]);
  });

  it("has the worker's work on the coordinator's clock", () => {
    const { traced: found } = traced([1, 2, 3, 4]);
    const spans = spansOf(traceEvents(found ?? { spans: [], results: [], leftOut: 0 }));
    // Messages take 2 ms in both directions, so that the clocks' difference is found exactly.
    expect(spans.filter(({ pid }) => pid === 2).map(brief)).toEqual([
      ['weights', 2, 1],
      ['batch', 3, 1],
      ['compute', 4, 2],
      ['send', 6, 2],
      ['wait', 6, 7],
      ['next batch', 10, 1],
      ['weights', 13, 1],
      ['batch', 14, 1],
      ['compute', 15, 2],
      ['send', 17, 2],
    ]);
  });

  it.each<[string, (marks: Marks) => Marks | undefined]>([
    ['no marks', () => undefined],
    ['marks in the wrong order', (marks) => ({ ...marks, built: 0 })],
    ['huge marks', (marks) => ({ ...marks, built: Number.MAX_SAFE_INTEGER })],
    ['small marks', () => ({ received: 0, begun: 0, built: 0 })],
    ['a wrong prefetch', (marks) => ({ ...marks, prefetched: [Number.MAX_SAFE_INTEGER, 0] })],
  ])('places the work of a worker that sends %s within its step', (_what, change) => {
    const { traced: found } = traced([1, 2, 3, 4], change);
    const spans = spansOf(traceEvents(found ?? { spans: [], results: [], leftOut: 0 }));
    const worker = spans.filter(({ pid }) => pid === 2);
    expect(worker.some(({ name }) => name === 'compute')).toBe(true);
    for (const { name, ts, dur, args } of worker) {
      expect(dur).toBeGreaterThanOrEqual(0);
      const begun = args['step'] === 2 ? 0 : /wait|next/.test(name) ? 0 : 11_000;
      expect(ts).toBeGreaterThanOrEqual(begun);
      expect(ts + dur).toBeLessThanOrEqual(args['step'] === 2 ? 8_000 : 19_000);
    }
  });

  it('is bounded, and counts what it leaves out', () => {
    const coordinator = new Coordinator(1, 1_000_000);
    for (let step = 1; step <= MAX_TRACED / 5; step++) coordinator.step(step);
    coordinator.trace.end();
    const { spans = [], results = [], leftOut = 0 } = coordinator.traced ?? {};
    expect(spans.length + results.length).toBe(MAX_TRACED);
    // A step has five spans and a result.
    expect(leftOut).toBe((6 * MAX_TRACED) / 5 - MAX_TRACED);
  });

  it('gives a worker that comes back a clock of its own', () => {
    const coordinator = new Coordinator(1, 2);
    coordinator.step(1);
    coordinator.trace.connected(0);
    coordinator.step(2, ({ received, begun, built }) => ({
      received: received - 4_000_000,
      begun: begun - 4_000_000,
      built: built - 4_000_000,
    }));
    coordinator.step(3);
    const spans = spansOf(
      traceEvents(coordinator.traced ?? { spans: [], results: [], leftOut: 0 }),
    );
    const computed = spans.filter(({ name }) => name === 'compute');
    expect(computed.map(({ pid, ts }) => [pid, ts])).toEqual([
      [2, 4000],
      [3, 15_000],
    ]);
  });
});
