import { expect, it, onTestFinished, vi } from 'vitest';
import {
  HEARTBEAT_INTERVAL_MILLISECONDS,
  IDLE_LIMIT_MILLISECONDS,
} from '../../../shared/limits.ts';
import { encodeHeader } from '../../../shared/wire/frame.ts';
import { Link, type LinkEvents } from '../../../worker/link.ts';
import { connected } from '../../fixtures/connected-sockets.ts';

/** Adds the code of each failure to `failed`. */
function events(failed: string[]): LinkEvents {
  return {
    message: () => undefined,
    failed: ({ code }) => failed.push(code),
    closed: () => undefined,
    isReady: () => false,
    crashed: () => undefined,
    log: () => undefined,
  };
}

it('a link fails with TIMEOUT when its connection is idle for too long', async () => {
  const { client, server } = await connected();
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  let now = 0;
  let heard = 0;
  const failed: string[] = [];
  const link = new Link(client, { memory: undefined, channel: undefined }, () => now, {
    ...events(failed),
    message: () => (heard += 1),
  });
  onTestFinished(() => link.close());
  /** Advances the time to the link's next check, which reads pending messages first. */
  const look = async (milliseconds: number) => {
    now += milliseconds;
    vi.advanceTimersByTime(HEARTBEAT_INTERVAL_MILLISECONDS);
    await new Promise((resolve) => setImmediate(resolve));
  };
  await look(IDLE_LIMIT_MILLISECONDS - 1);
  server.send(encodeHeader({ kind: 'heartbeat' }));
  await vi.waitUntil(() => heard === 1);
  await look(IDLE_LIMIT_MILLISECONDS - 1);
  expect(failed).toEqual([]);
  await look(1);
  expect(failed).toEqual(['TIMEOUT']);
});

it('a link fails with PROTOCOL if a channel is opened before the worker has a slot', async () => {
  const { client, server } = await connected();
  const failed: string[] = [];
  const link = new Link(client, { memory: undefined, channel: undefined }, () => 0, events(failed));
  onTestFinished(() => link.close());
  server.send(encodeHeader({ kind: 'channel', next: 1 }));
  await vi.waitUntil(() => failed.length > 0);
  expect(failed).toEqual(['PROTOCOL']);
});
