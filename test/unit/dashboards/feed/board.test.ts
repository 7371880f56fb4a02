import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { Status } from '../../../../dashboards/feed/api.ts';
import { Board } from '../../../../dashboards/feed/board.ts';
import { eventsIn } from '../../../../dashboards/feed/event-lines.ts';
import { runFacts } from '../../../../dashboards/feed/facts.ts';
import {
  MAX_SHOWN_CHANGES,
  MAX_SHOWN_EVALUATIONS,
  MAX_SHOWN_EVENTS,
  MAX_CURVE_POINTS,
} from '../../../../shared/limits.ts';
import type { MetricsLine } from '../../../../shared/files/metrics.ts';
import { configurationFixture } from '../../../fixtures/configuration.ts';

const facts = runFacts(
  configurationFixture,
  { rows: 2, columns: 2, classNames: ['a', 'b'], name: 'Sample' },
  { version: '0.0.0', isLive: true },
);
const status: Status = {
  state: 'running',
  message: '',
  step: 0,
  epoch: 0,
  seconds: 0,
  secondsLeft: undefined,
  workers: [],
  waiting: '',
  problem: '',
  at: 0,
  joined: 0,
  lost: 0,
  stragglerSteps: 0,
  reassigned: 0,
  checkpointStep: undefined,
};
const opening = { run: 'r', term: 2, started: '2026-01-01T00:00:00.000Z' };
const asItIs = (worker: string): string => worker;
const step = (number: number) => ({
  step: number,
  samples: 4,
  loss: 1,
  correct: 2,
  milliseconds: 1,
});
const line = (number: number): MetricsLine => ({
  kind: 'step',
  ...step(number),
  epoch: 1,
  weights: '0'.repeat(16),
  chain: '0'.repeat(64),
  digest: '0'.repeat(16),
});

async function opened(lines: readonly MetricsLine[] = [], events = ''): Promise<Board> {
  const board = new Board(facts, asItIs);
  await board.restored({
    ...opening,
    lines: Readable.from(lines),
    events: Readable.from(eventsIn([Buffer.from(events)])),
  });
  return board;
}

describe("a run's board", () => {
  it('has nothing to show before the run is open', () => {
    expect(new Board(facts, asItIs).view(status)).toBeUndefined();
  });

  it('shows the last test of earlier coordinators, unless there was another since', async () => {
    const split = { ...configurationFixture, validationSamples: 4 };
    const { rows, columns, classNames } = { rows: 2, columns: 2, classNames: ['a', 'b'] };
    const dataset = { rows, columns, classNames, name: 'Sample' };
    const board = new Board(runFacts(split, dataset, { version: '0.0.0', isLive: true }), asItIs);
    await board.restored({ ...opening, lines: Readable.from([]), events: Readable.from([]) });
    const tests = [2, 4].map((at) => ({
      kind: 'evaluation' as const,
      set: 'test' as const,
      ...step(at),
    }));
    await board.recall(Readable.from(tests));
    expect(board.view(status)).toMatchObject({ tested: [4, 1, 0.5] });
    board.evaluation({ set: 'test', ...step(6) });
    await board.recall(Readable.from(tests));
    expect(board.view(status)).toMatchObject({ tested: [6, 1, 0.5] });
  });

  it('shows the records from an earlier coordinator, and counts repeated steps once', async () => {
    const confusion = [
      [3, 1],
      [0, 4],
    ];
    const event = {
      time: '2026-01-01T00:00:01.000Z',
      event: 'evaluation',
      step: 2,
      samples: 8,
      correct: 7,
    };
    const board = await opened(
      [line(1), line(2), line(3)],
      `${JSON.stringify({ ...event, confusion })}\n{"torn`,
    );
    for (const number of [2, 3, 4]) board.step(step(number));
    const view = board.view(status);
    expect(view?.curve.map(([last]) => last)).toEqual([1, 2, 3, 4]);
    // An event from an older version does not name the set.
    expect(view?.evaluated).toEqual({ set: 'test', step: 2, confusion, mistakes: [] });
    expect(view?.events.map(({ message }) => message)).toEqual([
      'evaluated after step 2: test accuracy 87.50 %',
    ]);
    // Open pages receive only new points.
    expect(board.takeUpdate(status).curve?.map(([last]) => last)).toEqual([4]);
  });

  it('sends everything exactly once', async () => {
    const board = await opened();
    board.step(step(1));
    board.step(step(2));
    board.event('lost', { worker: 'w0', message: 'w0 left: gone' });
    board.state('w0', 'training');
    board.state('w0', 'training');
    board.state('w0', 'lost');
    board.evaluation({ set: 'test', step: 2, loss: 0.5, correct: 6, samples: 8 });
    const update = board.takeUpdate(status);
    expect(update.curve).toEqual([
      [1, 1, 0.5, 4000],
      [2, 1, 0.5, 4000],
    ]);
    expect(update.events).toEqual([
      { time: expect.any(String), event: 'lost', level: 'warn', message: 'w0 left: gone' },
    ]);
    expect(update.changes?.map(({ state }) => state)).toEqual(['lost', 'training', 'lost']);
    expect(update.evaluation).toEqual([2, 0.5, 0.75]);
    expect(board.takeUpdate(status)).toEqual({ status });
  });

  it('tracks workers through all events, even from earlier coordinators', async () => {
    const at = (second: number, event: string, fields: object = {}) =>
      JSON.stringify({ time: `2026-01-01T00:00:0${second}.000Z`, event, worker: 'w0', ...fields });
    const past = [at(1, 'hello'), at(2, 'ready'), at(3, 'first_shard')].join('\n');
    const board = await opened([], past);
    board.event('start', { term: 2, step: 3 });
    for (const event of ['hello', 'ready', 'first_shard']) board.event(event, { worker: 'w0' });
    // The worker is not late: its result was not finite.
    board.event('lease_again', { worker: 'w0' });
    board.event('lease_again', { worker: 'w0', late: true });
    board.event('back', { worker: 'w0' });
    board.event('set_aside', { worker: 'w0' });
    board.event('lost', { worker: 'w0' });
    board.event('hello', { worker: 'w0' });
    const changes = board.view(status)?.changes ?? [];
    expect(changes.map(({ state }) => state)).toEqual([
      'preparing',
      'idle',
      'training',
      'lost',
      'preparing',
      'idle',
      'training',
      'late',
      'training',
      'set_aside',
      'lost',
      'preparing',
    ]);
    expect(changes[2]?.at).toBe(Date.parse('2026-01-01T00:00:03.000Z'));
    // Earlier changes are not sent to open pages.
    expect(board.takeUpdate(status).changes?.length).toBe(9);
  });

  it('stays within its limits', async () => {
    const board = await opened();
    for (let i = 1; i <= 20_000; i++) {
      board.step(step(i));
      board.evaluation({ set: 'test', step: i, loss: 1, correct: 1, samples: 2 });
      board.event('hello', { message: `${i}` });
      board.state('w0', i % 2 === 0 ? 'late' : 'training');
    }
    const view = board.view(status);
    expect(view?.curve.length).toBeLessThanOrEqual(MAX_CURVE_POINTS);
    expect(view?.evaluations.length).toBeLessThanOrEqual(MAX_SHOWN_EVALUATIONS);
    expect(view?.evaluations.at(-1)?.[0]).toBe(20_000);
    expect(view?.events.length).toBe(MAX_SHOWN_EVENTS);
    expect(view?.events.at(-1)?.message).toBe('20000');
    expect(view?.changes.length).toBe(MAX_SHOWN_CHANGES);
  });
});
