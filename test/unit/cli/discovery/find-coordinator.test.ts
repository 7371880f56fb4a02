import { createServer } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findCoordinator } from '../../../../cli/discovery/find-coordinator.ts';
import type { OptionKey } from '../../../../cli/options/options.ts';
import { parseOptions } from '../../../../cli/options/parse-options.ts';

const log = {
  debug: fail,
  info: fail,
  warn: fail,
  error: fail,
};

function fail(): never {
  throw new Error('this worker looks for announcements');
}

/** Finds a coordinator for a worker whose default address has this port. */
function find(port: number, explicit: readonly OptionKey[]) {
  const { options } = parseOptions('worker', new Map(), {});
  return findCoordinator(
    { ...options, coordinator: `ws://127.0.0.1:${port}` },
    new Set(explicit),
    {},
    log,
    new AbortController().signal,
  );
}

describe('a worker does not look for announcements', () => {
  it('if a coordinator listens at the default address', async () => {
    const server = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
    onTestFinished(() => void server.close());
    await once(server, 'listening');
    const address = server.address();
    const port = address === null || typeof address === 'string' ? 0 : address.port;
    expect(await find(port, [])).toBeUndefined();
  });

  it('if it has an address', async () => {
    expect(await find(9, ['coordinator'])).toBeUndefined();
  });
});
