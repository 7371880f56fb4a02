import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { childrenOf } from '../../fixtures/processes/children.ts';
import { executable, follow, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { missing, Namespace, why } from './network.ts';

/** A lookup takes longer than a test may: 3 servers, 5 attempts, 30 s each. */
const RESOLVER = [
  ...[1, 2, 3].map((i) => `nameserver 127.0.0.${i}`),
  'options timeout:30 attempts:5',
].join('\n');
const SERVER = `
  const { createSocket } = require('node:dgram');
  const socket = createSocket('udp4').bind(53, '0.0.0.0', () => console.log('listening'));
  socket.on('message', () => console.log('asked'));
`;
const NAME = 'gpu7.example.org';
const WORKER = ['worker', '--coordinator', `ws://${NAME}:29400`, '--insecure', '--engine', 'wasm'];

/** Starts a command on a machine whose name servers receive questions and never answer. */
async function startUnanswered(
  args: readonly string[],
): Promise<{ server: Started; command: Started }> {
  const machine = await Namespace.openMachine(onTestFinished);
  const folder = temporaryFolder();
  const [resolver, token] = [join(folder, 'resolv.conf'), join(folder, 'token')];
  writeFileSync(resolver, `${RESOLVER}\n`);
  writeFileSync(token, `${'0123456789abcdef'.repeat(4)}\n`, { mode: 0o600 });
  machine.run('mount', '--bind', resolver, '/etc/resolv.conf');
  machine.run('ip', 'link', 'set', 'dev', 'lo', 'up');
  const enter = (...words: readonly string[]): Started => {
    const started = follow(machine.spawn(process.execPath, ...words));
    onTestFinished(() => signal(started, 'SIGKILL'));
    return started;
  };
  const server = enter('-e', SERVER);
  await server.says(/listening/);
  return { server, command: enter(executable, ...args, '--token-file', token) };
}

/** Signals the program itself; the process that was started only entered the namespaces. */
function signal({ process: { pid } }: Started, name: NodeJS.Signals): void {
  for (const child of childrenOf(pid)) process.kill(child.pid, name);
}

describe.skipIf(missing !== undefined)(`while name servers are silent${why}`, () => {
  it('a worker ends after --max-wait-time', async () => {
    const { command } = await startUnanswered([...WORKER, '--max-wait-time', '1s']);
    expect(await command.exited, command.output()).toBe(errorTable.UNREACHABLE.exit);
    expect(command.output()).toContain('no coordinator answers');
  });

  it.each<[string, readonly string[]]>([
    ['worker', WORKER],
    ['coordinator', ['coordinator', '--host', NAME, '--insecure', '--no-http']],
    ['local', ['local', '--host', NAME, '--insecure', '--no-http', '-n', '1']],
  ])('a %s ends on a signal', async (_, args) => {
    const { server, command } = await startUnanswered(args);
    await Promise.race([
      server.says(/asked/),
      command.exited.then((code) => {
        throw new Error(`ended with ${code}: ${command.output()}`);
      }),
    ]);
    signal(command, 'SIGINT');
    expect(await command.exited, command.output()).toBe(errorTable.INTERRUPTED.exit);
  });
});
