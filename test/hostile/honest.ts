import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { ClusterError } from '../../shared/errors.ts';
import { Client } from '../../worker/client.ts';
import { Anchor } from '../../worker/trust.ts';
import type { Computation } from '../../worker/computation.ts';

export const TOKEN = 'a-token-of-the-tests-0123456789';
/** Time limit for events that may never occur. */
export const PATIENCE_MILLISECONDS = 60_000;
/**
 * Delay of the honest worker's bytes in each direction, so that training continues but leaves the
 * processor to the attack.
 */
const DELAY_MILLISECONDS = 2;

/** Registers a task that runs after a test, or a group of tests. */
export type Later = (task: () => void | Promise<void>) => void;

/** Starts a real worker. Tests of the coordinator do not check why it ends. */
export function startHonest(
  port: number,
  name: string,
  computation: Computation | (() => Promise<Computation>),
  later: Later,
): Client {
  const stopping = new AbortController();
  const client = new Client({
    dial: {
      version: '0.2.0',
      coordinator: new URL(`ws://127.0.0.1:${port}`),
      token: () => TOKEN,
      signal: stopping.signal,
      anchor: new Anchor({ kind: 'system' }),
      maxModelBytes: 1e6,
      maxDataBytes: 1e8,
      requestLimitMilliseconds: 10_000,
      dataLimitMilliseconds: 60_000,
      maxMemoryBytes: 1e9,
      engine: 'reference',
    },
    settings: {
      name,
      version: '0',
      maxRetries: Infinity,
      maxWaitMilliseconds: PATIENCE_MILLISECONDS,
      prepareLimitMilliseconds: PATIENCE_MILLISECONDS,
    },
    prepare: typeof computation === 'function' ? computation : () => Promise.resolve(computation),
    log: () => undefined,
    random: Math.random,
    clock: () => performance.now(),
  });
  const done = client.done.catch(() => undefined);
  later(async () => {
    client.leave(new ClusterError('TERMINATED', 'the test has ended'));
    stopping.abort();
    await done;
  });
  client.start();
  return client;
}

/** Starts a proxy that delays all bytes to and from a port; resolves with its own port. */
export async function slowPath(port: number, later: Later): Promise<number> {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1').setNoDelay();
    near.setNoDelay();
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk) => setTimeout(() => to.write(chunk), DELAY_MILLISECONDS));
      from.on('error', () => to.destroy());
      from.on('close', () => setTimeout(() => to.destroy(), DELAY_MILLISECONDS));
    }
  });
  server.listen(0, '127.0.0.1');
  later(() => void server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/**
 * Waits until `isSo` returns true; rejects with the text from `orElse` after PATIENCE_MILLISECONDS.
 */
export async function until(isSo: () => boolean, orElse: () => string): Promise<void> {
  const end = performance.now() + PATIENCE_MILLISECONDS;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(orElse());
    await sleep(5);
  }
}
