import type { TaskKind } from '../../../shared/wire/task-order.ts';
import { describe, expect, it } from 'vitest';
import { ClusterError } from '../../../shared/errors.ts';
import type { CoordinatorMessage } from '../../../shared/wire/messages.ts';
import {
  initialSession,
  reduceSession,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
} from '../../../worker/session.ts';
import { engineFixture } from '../../fixtures/engine-identity.ts';

const settings = {
  name: 'w0',
  version: '0',
  maxRetries: 1000,
  maxWaitMilliseconds: 60_000,
  prepareLimitMilliseconds: 1000,
};
const session = 'a'.repeat(32);
const engine = engineFixture;
const welcome = { kind: 'welcome', run: 'r', term: 2, slot: 3, session } as const;
const fence = { run: 'r', term: 2 } as const;

function play(
  events: SessionEvent[],
  from: SessionState = initialSession(settings),
): { state: SessionState; effects: readonly SessionEffect[] } {
  return events.reduce<{ state: SessionState; effects: readonly SessionEffect[] }>(
    ({ state }, event) => reduceSession(state, event),
    { state: from, effects: [] },
  );
}

const ready: SessionEvent[] = [
  { kind: 'start', now: 0 },
  { kind: 'opened', now: 1 },
  { kind: 'message', message: welcome, now: 2 },
  { kind: 'prepared', fingerprint: 'f', engine, now: 3 },
];

describe('a session', () => {
  it('dials, greets, prepares and becomes ready', () => {
    expect(play(ready.slice(0, 1)).effects).toEqual([{ kind: 'dial', afterMilliseconds: 0 }]);
    expect(play(ready.slice(0, 2)).effects).toMatchObject([
      { kind: 'send', message: { kind: 'hello', name: 'w0' } },
    ]);
    expect(play(ready.slice(0, 3)).effects).toMatchObject([
      { kind: 'send', message: { kind: 'preparing' } },
      { kind: 'prepare' },
    ]);
    expect(play(ready).effects).toEqual([
      { kind: 'send', message: { kind: 'ready', fingerprint: 'f', engine } },
    ]);
    expect(play(ready).state.phase).toBe('ready');
  });

  it('computes its own parts of a step and prefetches the next', () => {
    const step = {
      kind: 'step',
      ...fence,
      step: 7,
      assignment: [
        [1, 4],
        [3, 10, 11],
      ],
    } as const;
    const { effects } = play([
      ...ready,
      {
        kind: 'message',
        message: {
          ...step,
          assignment: [
            [1, 4],
            [3, 10, 11],
          ],
        },
        now: 4,
      },
    ]);
    expect(effects).toEqual([
      { kind: 'takeWeights' },
      { kind: 'compute', task: 'step', step: 7, parts: [10, 11] },
      { kind: 'prefetch', step: 8, parts: [10, 11] },
    ]);
  });

  it('predicts its own chunks, and later those in a lease', () => {
    const evaluate = {
      kind: 'evaluate',
      ...fence,
      step: 9,
      set: 'test' as const,
      assignment: [
        [2, 0, 5],
        [3, 5, 2],
      ],
    } satisfies { kind: 'evaluate' } & Record<string, unknown>;
    const message = {
      ...evaluate,
      assignment: [
        [2, 0, 5],
        [3, 5, 2],
      ] as [number, number, number][],
    };
    const after = play([...ready, { kind: 'message', message, now: 4 }]);
    expect(after.effects).toEqual([
      { kind: 'takeWeights' },
      { kind: 'compute', task: 'test', step: 9, parts: [5, 6] },
    ]);
    const lease = { kind: 'lease', ...fence, step: 9, task: 'test', parts: [0] } as const;
    expect(
      play([{ kind: 'message', message: { ...lease, parts: [0] }, now: 5 }], after.state).effects,
    ).toEqual([{ kind: 'compute', task: 'test', step: 9, parts: [0] }]);
  });

  it('ignores tasks that were overtaken by a later one, and leases for them', () => {
    const step = (number: number): CoordinatorMessage => ({
      kind: 'step',
      ...fence,
      step: number,
      assignment: [[3, 1]],
    });
    const lease = (number: number, task: TaskKind): CoordinatorMessage => ({
      kind: 'lease',
      ...fence,
      step: number,
      task,
      parts: [1],
    });
    const evaluate: CoordinatorMessage = {
      kind: 'evaluate',
      ...fence,
      step: 9,
      set: 'test',
      assignment: [],
    };
    const say = (message: CoordinatorMessage, state: SessionState) =>
      play([{ kind: 'message', message, now: 5 }], state);
    const evaluating = say(evaluate, say(step(9), play(ready).state).state);
    expect(evaluating.effects).toHaveLength(2);
    for (const old of [
      step(8),
      step(9),
      lease(9, 'step'),
      lease(9, 'validation'),
      lease(8, 'test'),
    ])
      expect(say(old, evaluating.state)).toEqual({ state: evaluating.state, effects: [] });
    // A lease for a task that has not begun is a violation.
    for (const early of [lease(10, 'step'), lease(10, 'test')])
      expect(say(early, evaluating.state).state.phase).toBe('ended');
  });

  it.each([
    [
      'a step before it is ready',
      ready.slice(0, 3),
      { kind: 'step', ...fence, step: 1, assignment: [] },
    ],
    [
      'a step for a different run',
      ready,
      { kind: 'step', run: 'x', term: 2, step: 1, assignment: [] },
    ],
    [
      'a step for a different term',
      ready,
      { kind: 'step', run: 'r', term: 1, step: 1, assignment: [] },
    ],
    [
      'a lease for weights that it does not have',
      ready,
      { kind: 'lease', ...fence, step: 1, task: 'step', parts: [1] },
    ],
    ['a second welcome', ready, welcome],
  ] as const)('ends with PROTOCOL on %s', (_, before, message) => {
    const broken =
      message.kind === 'lease'
        ? { ...message, parts: [...message.parts] }
        : message.kind === 'step'
          ? { ...message, assignment: [] }
          : message;
    const { state, effects } = play([...before, { kind: 'message', message: broken, now: 9 }]);
    expect(state.phase).toBe('ended');
    expect(effects).toMatchObject([
      { kind: 'disconnect' },
      { kind: 'end', error: { code: 'PROTOCOL' } },
    ]);
  });

  it('dials once when several events report the same broken connection', () => {
    const error = new ClusterError('TIMEOUT', 'silent');
    const lost: SessionEvent[] = [
      { kind: 'broken', error, now: 10 },
      { kind: 'broken', error, now: 10 },
      { kind: 'closed', code: 1006, now: 11 },
    ];
    for (const events of [lost, lost.toReversed()]) {
      let state = play(ready).state;
      const dials: unknown[] = [];
      for (const event of events) {
        const next = reduceSession(state, event);
        state = next.state;
        dials.push(...next.effects.filter(({ kind }) => kind === 'dial'));
      }
      expect(dials).toHaveLength(1);
      expect(state.attempts).toBe(1);
    }
  });

  it('dials again after increasing pauses and presents its session', () => {
    let { state, effects } = play([...ready, { kind: 'closed', code: 1006, now: 10 }]);
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      for (const effect of effects)
        if (effect.kind === 'dial') pauses.push(effect.afterMilliseconds);
      ({ state, effects } = reduceSession(state, {
        kind: 'failed',
        error: new ClusterError('UNREACHABLE', 'no'),
        now: 20,
      }));
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(reduceSession(state, { kind: 'opened', now: 30 }).effects).toMatchObject([
      { message: { kind: 'hello', session } },
    ]);
  });

  it('dials ever more slowly and gives up when each connection is cut once it is ready', () => {
    let now = 100;
    let { state } = play([{ kind: 'start', now }]);
    const pauses: number[] = [];
    while (state.phase !== 'ended' && pauses.length < 1_000) {
      const { state: after, effects } = play(
        [
          { kind: 'opened', now },
          { kind: 'message', message: welcome, now },
          { kind: 'prepared', fingerprint: 'f', engine, now },
          {
            kind: 'message',
            message: { kind: 'step', ...fence, step: 1, assignment: [[3, 1]] },
            now,
          },
          { kind: 'closed', code: 1009, now },
        ],
        state,
      );
      state = after;
      for (const effect of effects)
        if (effect.kind === 'dial') pauses.push(effect.afterMilliseconds);
      now += pauses.at(-1) ?? 0;
    }
    expect(pauses.slice(0, 8)).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    expect(state.phase).toBe('ended');
    expect(now - 100).toBeGreaterThanOrEqual(settings.maxWaitMilliseconds);
    expect(now - 100).toBeLessThan(2 * settings.maxWaitMilliseconds);
  });

  it('does not count connected time as waiting, and resets its failures on progress', () => {
    const failed = (now: number): SessionEvent => ({
      kind: 'failed',
      error: new ClusterError('UNREACHABLE', 'no'),
      now,
    });
    const step = (number: number, now: number): SessionEvent => ({
      kind: 'message',
      message: { kind: 'step', ...fence, step: number, assignment: [] },
      now,
    });
    const idle = play([
      { kind: 'start', now: 0 },
      failed(0),
      { kind: 'opened', now: 1_000 },
      { kind: 'message', message: welcome, now: 1_000 },
      { kind: 'prepared', fingerprint: 'f', engine, now: 1_000 },
    ]);
    const hoursLater = 1_000 + 36_000_000;
    const lost: SessionEvent = { kind: 'closed', code: 1006, now: hoursLater };
    expect(play([lost], idle.state).state).toMatchObject({ phase: 'dialling', attempts: 2 });
    const busy = play([step(1, hoursLater), step(2, hoursLater), lost], idle.state);
    expect(busy.state).toMatchObject({ phase: 'dialling', attempts: 1, failingSince: hoursLater });
  });

  it('gives up after --max-wait-time or --max-retries', () => {
    const unreachable = (now: number) => ({
      kind: 'failed' as const,
      error: new ClusterError('UNREACHABLE', 'no'),
      now,
    });
    expect(play([...ready.slice(0, 1), unreachable(0), unreachable(59_999)]).state.phase).toBe(
      'dialling',
    );
    expect(play([...ready.slice(0, 1), unreachable(0), unreachable(60_000)]).effects).toMatchObject(
      [{}, { kind: 'end', error: { code: 'UNREACHABLE' } }],
    );
    // A peer that accepts connections but never answers.
    const silent: SessionEvent = { ...unreachable(60_000), since: 0 };
    expect(play([...ready.slice(0, 1), silent]).state.phase).toBe('ended');
    const once = initialSession({ ...settings, maxRetries: 1 });
    expect(play([unreachable(0)], once).state.phase).toBe('dialling');
    expect(play([unreachable(0), unreachable(1)], once).state.phase).toBe('ended');
  });

  it.each(['UNAUTHORIZED', 'VERSION', 'FINGERPRINT', 'RUN_FAILED', 'DIVERGED'] as const)(
    'ends immediately when told %s',
    (code) => {
      const { state, effects } = play([
        ...ready,
        { kind: 'message', message: { kind: 'bye', code, message: 'why' }, now: 4 },
        { kind: 'closed', code: 4999, now: 5 },
      ]);
      expect(state.phase).toBe('ended');
      expect(effects).toMatchObject([
        { kind: 'disconnect' },
        { kind: 'end', error: { code, message: 'why' } },
      ]);
    },
  );

  it.each(['UNAUTHORIZED', 'TLS', 'VERSION', 'PROTOCOL'] as const)(
    'ends when its first dial fails with %s, and dials again when a later one does',
    (code) => {
      const failed = (now: number): SessionEvent => ({
        kind: 'failed',
        error: new ClusterError(code, 'another process'),
        now,
      });
      expect(play([{ kind: 'start', now: 0 }, failed(1)]).state.phase).toBe('ended');
      const away: SessionEvent = { kind: 'closed', code: 1006, now: 4 };
      const { state, effects } = play([...ready, away, failed(5)]);
      expect(state.phase).toBe('dialling');
      expect(effects).toMatchObject([{ kind: 'disconnect' }, { kind: 'dial', because: { code } }]);
      expect(play([failed(60_004)], state).effects).toMatchObject([
        {},
        { kind: 'end', error: { code } },
      ]);
    },
  );

  it('gives the reason only for the first of several identical failures', () => {
    const full: SessionEvent[] = [
      { kind: 'opened', now: 1 },
      { kind: 'message', message: { kind: 'bye', code: 'FULL', message: 'no room' }, now: 2 },
      { kind: 'closed', code: 4420, now: 3 },
    ];
    const because = { code: 'FULL', message: 'no room' };
    const first = play([{ kind: 'start', now: 0 }, ...full]);
    expect(first.effects).toMatchObject([{ kind: 'disconnect' }, { kind: 'dial', because }]);
    expect(play(full, first.state).effects).toEqual([
      { kind: 'disconnect' },
      { kind: 'dial', afterMilliseconds: 200 },
    ]);
  });

  it.each([
    [
      'a message',
      [{ kind: 'message', message: { kind: 'bye', code: 'UNEXPECTED', message: 'x' }, now: 4 }],
    ],
    ['a close code', []],
  ] as const)('retries after a bug in the coordinator, reported by %s', (_what, told) => {
    const closed = { kind: 'closed', code: 4500, now: 5 } as const;
    const { state, effects } = play([...ready, ...told, closed]);
    expect(state.phase).toBe('dialling');
    expect(effects.map(({ kind }) => kind)).toContain('dial');
  });

  it('ends without an error when the run is finished', () => {
    expect(play([...ready, { kind: 'closed', code: 4000, now: 4 }]).effects).toEqual([
      { kind: 'end', error: undefined },
    ]);
  });

  it('leaves a coordinator with a lower term and dials the coordinator that took over', () => {
    const { state } = play([
      ...ready,
      { kind: 'closed', code: 1006, now: 4 },
      { kind: 'opened', now: 5 },
    ]);
    const next = reduceSession(state, {
      kind: 'message',
      message: { ...welcome, term: 1 },
      now: 6,
    });
    const because = { code: 'LOCKED' };
    expect(next.effects).toMatchObject([
      { kind: 'disconnect' },
      { kind: 'dial', afterMilliseconds: 200, because },
    ]);
    expect(next.state.phase).toBe('dialling');
    const later = play([{ kind: 'opened', now: 7 }], next.state);
    const isOver = { kind: 'message', message: { ...welcome, term: 1 }, now: 1e9 } as const;
    expect(reduceSession(later.state, isOver).effects).toEqual([
      { kind: 'disconnect' },
      { kind: 'end', error: expect.objectContaining({ code: 'LOCKED' }) },
    ]);
  });
});

describe('a session in which another run follows', () => {
  const next = { kind: 'next', run: 's', term: 5 } as const;
  const following: SessionEvent[] = [...ready, { kind: 'message', message: next, now: 4 }];
  const described: SessionEvent[] = [...following, { kind: 'described', now: 5 }];
  const heard = (message: CoordinatorMessage): SessionEvent => ({
    kind: 'message',
    message,
    now: 6,
  });
  const error = expect.objectContaining({ kind: 'end' });

  it('follows, and says hello for this run without the secret of the one before', () => {
    expect(play(following).effects).toEqual([{ kind: 'follow', run: 's' }]);
    const { effects } = play(described);
    expect(effects).toMatchObject([{ kind: 'send', message: { kind: 'hello', run: 's' } }]);
    expect(effects[0]).not.toHaveProperty('message.session');
    const welcomed = play([...described, heard({ ...welcome, run: 's', term: 5 })]);
    expect(welcomed.state).toMatchObject({ phase: 'preparing', run: 's', term: 5 });
    expect(welcomed.effects).toMatchObject([{ kind: 'send' }, { kind: 'prepare' }]);
  });

  it('accepts only the welcome that it was told of', () => {
    for (const other of [welcome, { ...welcome, run: 's', term: 4 }, { ...welcome, run: 'q' }])
      expect(play([...described, heard(other)]).effects).toContainEqual(error);
  });

  it('ends if it is told of the same run again, or before it is in a run', () => {
    expect(play([...ready, heard({ ...next, run: 'r' })]).effects).toContainEqual(error);
    expect(play([...following, heard({ ...next, run: 'q' })]).effects).toContainEqual(error);
    const preparing = ready.slice(0, 3);
    expect(play([...preparing, heard(next)]).effects).toContainEqual(error);
  });

  it('ends if it gets work of the run before', () => {
    const step = { kind: 'step', ...fence, step: 7, assignment: [[3, 10]] } as const;
    const message = { ...step, assignment: [[3, 10]] };
    for (const events of [following, described])
      expect(play([...events, heard(message)]).effects).toContainEqual(error);
  });

  it('follows a run that it was not welcomed to, or that ended before it was', () => {
    const joining = ready.slice(0, 2);
    expect(play([...joining, heard(next)]).effects).toEqual([{ kind: 'follow', run: 's' }]);
    const again = play([...described, heard({ ...next, run: 't' })]);
    expect(again.effects).toEqual([{ kind: 'follow', run: 't' }]);
  });

  it('dials again if the connection breaks, and then says hello as usual', () => {
    const cut = play([...following, { kind: 'closed', code: 1006, now: 6 }]);
    expect(cut.effects).toContainEqual(expect.objectContaining({ kind: 'dial' }));
    const late = reduceSession(cut.state, { kind: 'described', now: 7 });
    expect(late).toEqual({ state: cut.state, effects: [] });
    const opened = reduceSession(cut.state, { kind: 'opened', now: 8 });
    expect(opened.effects[0]).not.toHaveProperty('message.run');
    const other = reduceSession(opened.state, heard({ ...welcome, run: 'q' }));
    expect(other.state.phase).toBe('preparing');
  });
});
