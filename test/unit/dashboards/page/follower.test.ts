import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EventLine, RunView, StateChange, Update } from '../../../../dashboards/feed/api.ts';
import { Follower, type StreamListener, type Wire } from '../../../../dashboards/page/follower.ts';
import {
  MAX_EVALUATIONS,
  MAX_EVENTS,
  SILENCE_LIMIT_MILLISECONDS,
} from '../../../../dashboards/page/page-limits.ts';
import { continued, RunState } from '../../../../dashboards/page/run-state.ts';
import { evaluation, points, status, view } from '../../../system/browser/fake-run.ts';

const event = (n: number): EventLine => ({
  time: String(n),
  event: 'e',
  level: 'info',
  message: '',
});
const change = (at: number): StateChange => ({ at, worker: 'w', state: 'training' });

/** A follower whose stream is open and whose view has arrived. */
async function followed(changed: (link: Follower['link']) => void = () => undefined) {
  const server = new Server();
  const follower: Follower = new Follower(server, () => changed(follower.link));
  follower.start();
  await server.answer();
  server.open();
  await server.answer();
  return { server, follower };
}

describe('a follower', () => {
  test('neither loses nor repeats an update, however view and stream interleave', async () => {
    // `counts` says how many updates are sent before the stream opens, before the view is made,
    // before it arrives, and later. `early` updates of those in transit arrive before the view, and
    // the others after it.
    const few = fc.integer({ min: 0, max: 5 });
    const counts = fc.tuple(few, few, few, few);
    await fc.assert(
      fc.asyncProperty(
        counts,
        fc.integer({ min: 0, max: 10 }),
        async ([before, open, made, late], early) => {
          const server = new Server();
          const follower = new Follower(server, () => undefined);
          follower.start();
          await server.answer();
          server.work(before);
          server.open();
          server.hold();
          server.work(open);
          const answer = server.make();
          server.work(made);
          server.deliver(early);
          await answer();
          server.deliver(Infinity);
          server.work(late);
          server.deliver(Infinity);
          const { state } = follower;
          const steps = server.step;
          expect([...(state?.curve.columns().step ?? [])]).toEqual(
            points(1, steps).map(([step]) => step),
          );
          expect(state?.events.map(({ time }) => Number(time))).toEqual(upTo(steps));
          expect(state?.changes.map(({ at }) => at)).toEqual(upTo(steps));
          expect(state?.evaluations.map(([step]) => step)).toEqual(upTo(steps));
          expect(state?.status.step).toBe(steps);
        },
      ),
    );
  });

  test('fetches the view again when the stream says so, without losing an update', async () => {
    const { server, follower } = await followed();
    server.work(3);
    server.listener?.updated({ isRestated: true });
    server.work(2);
    await server.answer();
    server.work(1);
    expect(follower.link).toBe('live');
    expect([...(follower.state?.curve.columns().step ?? [])]).toEqual(upTo(6));
    expect(follower.state?.events.map(({ time }) => Number(time))).toEqual(upTo(6));
  });

  test('keeps the curve while no server answers, and resumes from a fresh view', async () => {
    const { server, follower } = await followed();
    server.work(9);
    expect(follower.link).toBe('live');
    server.listener?.broken();
    expect([follower.link, follower.state?.curve.lastStep, server.isClosed]).toEqual([
      'lost',
      9,
      true,
    ]);
    // A coordinator that was killed resumes from its checkpoint.
    server.step = 6;
    for (const wait of [500, 1000, 2000, 4000, 5000, 5000]) {
      expect(server.retry?.wait).toBe(wait);
      server.retry?.action();
      if (wait === 5000) break;
      await server.fail();
      expect(follower.state?.curve.lastStep).toBe(9);
    }
    await server.answer();
    server.open();
    await server.answer();
    server.work(2);
    expect(follower.link).toBe('live');
    expect([...(follower.state?.curve.columns().step ?? [])]).toEqual(upTo(8));
    server.listener?.broken();
    expect(server.retry?.wait, 'the pauses start over after a connection').toBe(500);
  });

  test('gives up on a stream that stops sending without closing', async () => {
    const { server, follower } = await followed();
    for (let n = 0; n < 3; n++) {
      server.work(1);
      server.look?.();
      expect(follower.link).toBe('live');
    }
    server.look?.();
    expect([follower.link, server.isClosed, server.retry?.wait]).toEqual(['lost', true, 500]);
    server.retry = undefined;
    server.look?.();
    expect(server.retry, 'the follower gives up only once').toBeUndefined();
  });

  test('ignores a late response on a connection that it has given up on', async () => {
    const server = new Server();
    const follower = new Follower(server, () => undefined);
    follower.start();
    await server.answer();
    server.open();
    const late = server.make();
    server.listener?.broken();
    server.step = 5;
    await late();
    server.work(1);
    expect([follower.link, follower.state?.curve.lastStep]).toEqual(['lost', 0]);
  });

  test.each(['finished', 'interrupted', 'failed', 'diverged'] as const)(
    'closes the stream when the state of the run is "%s"',
    async (end) => {
      const links: string[] = [];
      const { server, follower } = await followed((link) => links.push(link));
      server.listener?.updated({ status: status({ state: end, seconds: 99 }) });
      expect([follower.link, server.isClosed, links.at(-1)]).toEqual(['over', true, 'over']);
      server.listener?.broken();
      expect([follower.link, server.retry]).toEqual(['over', undefined]);
    },
  );

  test('does not open a stream for a run that has ended or that is recorded', async () => {
    const over = status({ state: 'finished' });
    for (const [change, link] of [
      [{ isLive: false }, 'directory'],
      [{ status: over }, 'over'],
    ] as const) {
      const server = new Server(change);
      const follower = new Follower(server, () => undefined);
      follower.start();
      await server.answer();
      expect([follower.link, server.listener]).toEqual([link, undefined]);
    }
  });

  test('reports that it is connecting until a server first answers', async () => {
    const server = new Server();
    const follower = new Follower(server, () => undefined);
    follower.start();
    await server.fail();
    expect([follower.link, server.retry?.wait]).toEqual(['connecting', 500]);
  });
});

describe('a run state', () => {
  test('ignores a status that is older than its own', () => {
    const state = new RunState(view(0, { status: status({ seconds: 5, joined: 3 }) }));
    state.merge({ status: status({ seconds: 4.9, joined: 2 }) });
    expect(state.status.joined).toBe(3);
    state.merge({ status: status({ seconds: 5.1, joined: 4 }) });
    expect(state.status.joined).toBe(4);
  });

  test('stays bounded after any number of updates', () => {
    const state = new RunState(view(0));
    for (let n = 1; n <= 5000; n++) state.merge({ events: [event(n)], evaluation: evaluation(n) });
    expect(state.events).toHaveLength(MAX_EVENTS);
    expect(state.events.at(-1)).toEqual(event(5000));
    expect(state.evaluations.length).toBeLessThanOrEqual(MAX_EVALUATIONS);
    expect(state.evaluations.at(-1)?.[0]).toBe(5000);
  });

  test('appends only the entries that a list lacks', () => {
    const same = (a: number, b: number) => a === b;
    expect(continued([1, 2, 3], [2, 3, 4], same, 10)).toEqual([1, 2, 3, 4]);
    expect(continued([1, 2, 3], [4], same, 10)).toEqual([1, 2, 3, 4]);
    expect(continued([1, 2, 3], [4], same, 2)).toEqual([3, 4]);
    const known = [1, 2, 3];
    expect(continued(known, [2], same, 10), 'the same list: nothing needs to be drawn').toBe(known);
  });
});

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1);
}

/** A fake server. Each step adds one entry of every kind. */
class Server implements Wire {
  step = 0;
  listener: StreamListener | undefined;
  isClosed = false;
  retry: { wait: number; action: () => void } | undefined;
  /** Checks whether the stream has sent anything recently. */
  look: (() => void) | undefined;
  readonly #change: Partial<RunView>;
  #pending: { resolve: (view: RunView) => void; reject: (error: Error) => void } | undefined;
  #isOpen = false;
  #held: Update[] | undefined;

  constructor(change: Partial<RunView> = {}) {
    this.#change = change;
  }

  fetchView = () =>
    new Promise<RunView>((resolve, reject) => {
      this.#pending = { resolve, reject };
    });

  openStream = (listener: StreamListener) => {
    this.listener = listener;
    this.isClosed = false;
    return () => {
      this.isClosed = true;
      this.#isOpen = false;
    };
  };

  later = (wait: number, action: () => void) => {
    if (wait === SILENCE_LIMIT_MILLISECONDS) this.look = action;
    else this.retry = { wait, action };
  };

  open(): void {
    this.#isOpen = true;
    this.listener?.opened();
  }

  /** Completes steps, each of which sends an update to the listener. */
  work(steps: number): void {
    for (let n = 0; n < steps; n++) {
      this.step += 1;
      const { step } = this;
      const update: Update = {
        status: status({ step, seconds: step }),
        curve: points(step, step),
        evaluation: evaluation(step),
        events: [event(step)],
        changes: [change(step)],
      };
      if (!this.#isOpen) continue;
      if (this.#held !== undefined) this.#held.push(update);
      else this.listener?.updated(update);
    }
  }

  /** Holds updates from now on until they are delivered. */
  hold(): void {
    this.#held = [];
  }

  deliver(updates: number): void {
    for (const update of this.#held?.splice(0, updates) ?? []) this.listener?.updated(update);
  }

  /** Makes the current view, which arrives when the returned function is called. */
  make(): () => Promise<void> {
    const { step } = this;
    const evaluations = upTo(step).map(evaluation);
    const made = view(0, {
      status: status({ step, seconds: step }),
      curve: points(1, step),
      evaluations,
      events: upTo(step).map(event),
      changes: upTo(step).map(change),
      ...this.#change,
    });
    const pending = this.#pending;
    return async () => {
      pending?.resolve(made);
      await settled();
    };
  }

  answer(): Promise<void> {
    return this.make()();
  }

  async fail(): Promise<void> {
    this.#pending?.reject(new Error('the server is down'));
    await settled();
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
