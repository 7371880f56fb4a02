import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { errorTable } from '../../shared/errors.ts';
import { encodeHeader } from '../../shared/wire/frame.ts';
import { MAX_CONNECTIONS, MAX_NEWCOMERS } from '../../shared/limits.ts';
import { getProven } from '../fixtures/proven-client.ts';
import { Attacker } from './attacker.ts';
import { expectBoundedMemory } from './cost.ts';
import {
  controlFrame,
  hello,
  introduction,
  PING,
  plainRequest,
  upgradeRequest,
  webSocketFrame,
  WORKER_PATH,
} from './frames.ts';
import { TOKEN, until } from './honest.ts';
import { expectUnharmed, startTarget, type Target } from './target.ts';

const CROWD = 1000;
const TIMEOUT = { status: 101, close: errorTable.TIMEOUT.close };
const FLOOD_MILLISECONDS = 20;
/** So slow that the timeout closes the connection, not the limit on pieces. */
const DRIP_MILLISECONDS = 250;
/** More downloads than the system's buffers for a connection can hold. */
const DOWNLOADS = 100;
const PINGS = 200;
const TRIES = 20;
/** As many requests as one read of a socket can contain. */
const PIPELINED = 1500;

/** Writes these bytes one by one until the connection is gone. */
async function drip(attacker: Attacker, bytes: Uint8Array): Promise<void> {
  for (let at = 0; !attacker.isGone; at++) {
    attacker.write(bytes.subarray(at, at + 1));
    await sleep(DRIP_MILLISECONDS);
  }
}

/** Writes the same bytes repeatedly, without reading any answer. */
async function flood(attacker: Attacker, bytes: Uint8Array): Promise<void> {
  attacker.stopReading();
  while (!attacker.isGone) {
    if (!attacker.isBacklogged) attacker.write(bytes);
    await sleep(FLOOD_MILLISECONDS);
  }
}

/** Like `flood`, for an attacker that must first read its challenge. */
async function floodOnceProven(attacker: Attacker, bytes: Uint8Array): Promise<void> {
  await until(
    () => attacker.isProven || attacker.isGone,
    () => 'it was not challenged',
  );
  await flood(attacker, bytes);
}

/**
 * Ways to keep the coordinator waiting, each with the ending that the attacker sees. An attacker
 * that does not read never sees an ending.
 */
const ways: [string, object, (target: Target) => Attacker][] = [
  ['sends nothing', { status: undefined }, ({ port }) => new Attacker(port)],
  [
    'sends its request byte by byte',
    { status: undefined },
    ({ port }) => {
      const attacker = new Attacker(port);
      void drip(
        attacker,
        Buffer.from(upgradeRequest(null, WORKER_PATH, `X: ${'x'.repeat(4000)}\r\n`)),
      );
      return attacker;
    },
  ],
  ['upgrades and then sends nothing', TIMEOUT, ({ port }) => Attacker.upgrade(port)],
  [
    'sends half a frame',
    TIMEOUT,
    ({ port }) =>
      Attacker.upgrade(port, { first: webSocketFrame(encodeHeader(hello)).subarray(0, 30) }),
  ],
  [
    'sends a frame byte by byte',
    TIMEOUT,
    ({ port }) => {
      const attacker = Attacker.upgrade(port);
      void drip(attacker, webSocketFrame(Buffer.alloc(20_000)));
      return attacker;
    },
  ],
  [
    'sends hello and nothing more',
    TIMEOUT,
    ({ port }) => Attacker.upgrade(port, { first: introduction() }),
  ],
  [
    'pings and reads nothing',
    {},
    ({ port }) => {
      const attacker = Attacker.upgrade(port, { first: introduction() });
      const pings = Array.from({ length: PINGS }, () => controlFrame(PING, Buffer.alloc(125)));
      void floodOnceProven(attacker, Buffer.concat(pings));
      return attacker;
    },
  ],
  [
    'asks for a challenge and gives no proof',
    { status: 401 },
    ({ port }) => {
      const attacker = new Attacker(port);
      attacker.write(plainRequest('/run'));
      return attacker;
    },
  ],
  [
    'asks for the dataset and reads nothing',
    {},
    ({ port, configuration }) => {
      const attacker = Attacker.get(port, `/data/${configuration.dataset}`, TOKEN, DOWNLOADS);
      void floodOnceProven(attacker, Buffer.from(plainRequest(`/data/${configuration.dataset}`)));
      return attacker;
    },
  ],
];

// The tests run one after another, because they measure how much this process grows.
describe('a coordinator', () => {
  it('closes every connection that keeps it waiting', async () => {
    const target = await startTarget();
    await expectBoundedMemory(async () => {
      const endings = ways.map(async ([way, , begin]) => {
        const { status, close } = await begin(target).ended;
        return [way, { status, close }];
      });
      expect(Object.fromEntries(await Promise.all(endings))).toMatchObject(
        Object.fromEntries(ways.map(([way, ending]) => [way, ending])),
      );
    });
    await expectUnharmed(target);
  });

  it.for<[string, (port: number) => Attacker]>([
    ['without a token', (port) => new Attacker(port)],
    ['with a token', (port) => Attacker.upgrade(port)],
  ])('survives a thousand idle connections %s, and admits the next worker', async ([, begin]) => {
    const target = await startTarget();
    let tries = 0;
    await expectBoundedMemory(async () => {
      tries += 1;
      const crowd = Array.from({ length: CROWD }, () => begin(target.port));
      const present = () => crowd.filter(({ isGone }) => !isGone).length;
      await until(
        () => present() < MAX_CONNECTIONS,
        () => `${present()} connections are open`,
      );
      await target.advances(20);
      await target.joinedBy(`newcomer ${tries}`);
      const endings = await Promise.all(crowd.map(({ ended }) => ended));
      const admitted = endings.filter(({ status }) => status === TIMEOUT.status);
      expect(admitted.length).toBeLessThan(MAX_CONNECTIONS);
    });
    await expectUnharmed(target);
  });

  it('answers a token holder while many connections send requests without waiting', async () => {
    const target = await startTarget();
    const crowd = Array.from({ length: MAX_NEWCOMERS - 1 }, () => new Attacker(target.port));
    for (const attacker of crowd) attacker.write(plainRequest('/run').repeat(PIPELINED));
    expect((await getProven(`ws://127.0.0.1:${target.port}`, '/run', TOKEN)).status).toBe(200);
    // The work that they cause is bounded: each gets one answer, or none.
    const texts = (await Promise.all(crowd.map(({ ended }) => ended))).map(({ text }) => text);
    for (const text of texts) expect(text.split('HTTP/1.1').length).toBeLessThanOrEqual(2);
    await expectUnharmed(target);
  });

  it('answers a token holder while many closed connections are redialled', async () => {
    const target = await startTarget();
    let isOver = false;
    let dials = 0;
    const redial = async (): Promise<void> => {
      while (!isOver) {
        dials += 1;
        const attacker = new Attacker(target.port);
        attacker.manners = 'resets';
        await attacker.ended;
      }
    };
    // More connections than there are places, so that they displace one another.
    const crowd = Array.from({ length: MAX_NEWCOMERS + 76 }, redial);
    await until(
      () => dials > 2 * MAX_NEWCOMERS,
      () => `${dials} dials`,
    );
    for (let i = 0; i < TRIES; i++)
      expect((await getProven(`ws://127.0.0.1:${target.port}`, '/run', TOKEN)).status).toBe(200);
    isOver = true;
    await Promise.all(crowd);
    await expectUnharmed(target);
  });
});
