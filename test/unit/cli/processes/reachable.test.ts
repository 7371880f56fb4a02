import { spawnSync } from 'node:child_process';
import { createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { requireReachable } from '../../../../cli/processes/reachable.ts';
import { listening } from '../../../fixtures/listening.ts';

const dist = new URL('../../../../dist', import.meta.url).pathname;
const isAllowed = spawnSync('unshare', ['--user', '--net', 'true']).status === 0;

describe("the address of a command's own coordinator", () => {
  it('is reachable unless a connection fails for lack of a route', async () => {
    const server = createServer();
    const port = await listening(server);
    onTestFinished(() => void server.close());
    await requireReachable(`ws://127.0.0.1:${port}`);
    await requireReachable(`wss://localhost:${port}`);
    await requireReachable('ws://127.0.0.1:1');
    await requireReachable('ws://name.invalid:1');
  });

  it.skipIf(!isAllowed)('is not reachable if the loopback interface is down', () => {
    const script = `
      const { requireReachable } = await import('${dist}/cli/processes/reachable.js');
      for (const url of ['ws://127.0.0.1:1', 'ws://[::1]:1'])
        await requireReachable(url).catch(({ code, message, fix }) =>
          console.log(code, message, fix));`;
    const args = ['--user', '--net', process.execPath, '--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
    const lines = stdout.trimEnd().split('\n');
    expect(lines, stderr).toHaveLength(2);
    for (const line of lines)
      expect(line).toMatch(/^ADDRESS this machine cannot connect to its own .* ip link set lo up/);
  });
});
