import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { findCoordinator } from '../../../../cli/discovery/find-coordinator.ts';
import type { OptionKey } from '../../../../cli/options/options.ts';
import { parseOptions } from '../../../../cli/options/parse-options.ts';
import type { Log } from '../../../../cli/terminal/log.ts';
import type { Announcement } from '../../../../shared/wire/announcement.ts';
import { PROTOCOL } from '../../../../shared/wire/protocol.ts';

/** What a search finds. */
let announced: readonly Announcement[] = [];
vi.mock(import('../../../../worker/discovery.ts'), async (importOriginal) => ({
  ...(await importOriginal()),
  discover: async () => [...announced],
}));

const failing = {
  debug: fail,
  info: fail,
  warn: fail,
  error: fail,
};

function fail(): never {
  throw new Error('this worker looks for announcements');
}

const ignore = () => undefined;
const silent = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** The port of a server that accepts connections until the test ends. */
async function listening(server = createServer((socket) => void socket.resume())): Promise<number> {
  server.listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const address = server.address();
  return address === null || typeof address === 'string' ? 0 : address.port;
}

/** Finds a coordinator for a worker whose default address has this port. */
function find(port: number, explicit: readonly OptionKey[], log: Log = failing) {
  const { options } = parseOptions('worker', new Map(), {});
  return findCoordinator(
    { ...options, coordinator: `ws://127.0.0.1:${port}` },
    new Set(explicit),
    { MNIST_DIST_TOKEN: 'a-token-of-24-characters' },
    log,
    new AbortController().signal,
  );
}

describe('a worker does not look for announcements', () => {
  it('if a coordinator listens at the default address', async () => {
    expect(await find(await listening(), [])).toBeUndefined();
  });

  it('if it has an address', async () => {
    expect(await find(9, ['coordinator'])).toBeUndefined();
  });
});

describe('a worker that finds one coordinator at two addresses', () => {
  const at = (port: number): Announcement => ({
    id: '0123456789abcdef',
    coordinator: `ws://127.0.0.1:${port}`,
    run: 'run',
    protocol: PROTOCOL,
    version: '0.2.0',
    ca: undefined,
  });

  it('joins at the first address that accepts connections', async () => {
    const port = await listening();
    announced = [at(9), at(port)];
    expect((await find(9, [], silent))?.coordinator.port).toBe(String(port));
  });

  it('dials the first address if none accepts connections', async () => {
    announced = [at(9), at(10)];
    expect((await find(9, [], silent))?.coordinator.port).toBe('9');
  });
});

it('a worker joins an announced coordinator if another program uses the default port', async () => {
  const program = createHttpServer((_, response) => void response.end('hello'));
  const port = await listening(program);
  const common = { id: '1'.repeat(16), protocol: PROTOCOL, version: '0.2.0', ca: undefined };
  announced = [{ ...common, run: 'run', coordinator: 'ws://127.0.0.1:9' }];
  const warnings: string[] = [];
  const log = { ...silent, warn: (_: object, line: string) => void warnings.push(line) };
  expect((await find(port, [], log))?.coordinator.port).toBe('9');
  expect(warnings).toEqual([
    `the process at ws://127.0.0.1:${port}/ is not a coordinator without TLS`,
  ]);
});

it('a worker that finds two coordinators lists them with their addresses', async () => {
  const common = { protocol: PROTOCOL, version: '0.2.0', ca: undefined };
  const first = { ...common, id: '1'.repeat(16), run: 'first' };
  const second = { ...common, id: '2'.repeat(16), run: 'second' };
  announced = [
    { ...first, coordinator: 'ws://127.0.0.1:9' },
    { ...second, coordinator: 'ws://127.0.0.1:10' },
    { ...first, coordinator: 'ws://127.0.0.1:11' },
  ];
  await expect(find(9, [], silent)).rejects.toThrow(
    'found 2 coordinators, and this worker joins none: the coordinator at ws://127.0.0.1:9 or ' +
      'ws://127.0.0.1:11 (run first, mnist-dist 0.2.0); the coordinator at ws://127.0.0.1:10 ' +
      '(run second, mnist-dist 0.2.0)',
  );
});
