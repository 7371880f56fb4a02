import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { joinText } from '../../../cli/secrets/join.ts';
import { errorTable } from '../../../shared/errors.ts';
import { executable, follow } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const hasPython = spawnSync('python3', ['--version']).status === 0;
const token = 'a-token-of-the-tests-0123456789';
const text = joinText({ coordinator: 'wss://127.0.0.1:1', token, ca: 'ab'.repeat(32) });
const worker = ['worker', '--engine', 'reference', '--max-wait-time', '0', '--join', '-'];

/** Runs a shell on its own terminal. The script lists what to type after which output. */
const TERMINAL = `
import json, os, pty, sys
steps, command = json.loads(sys.argv[1]), sys.argv[2]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp('sh', ['sh', '-i'])
os.write(terminal, ("PS1='$ '; " + command + '; echo "code=$?"\\n').encode())
seen, shown = b'', b''
while True:
    try: data = os.read(terminal, 65536)
    except OSError: break
    if not data: break
    seen += data; shown += data
    while steps and steps[0][0].encode() in seen:
        seen = b''; os.write(terminal, steps.pop(0)[1].encode())
os.waitpid(pid, 0)
sys.stdout.write(shown.decode('utf8', 'replace'))
`;

async function onTerminal(
  steps: readonly (readonly [string, string])[],
  folder: string,
): Promise<string> {
  const command = [process.execPath, executable, ...worker].join(' ');
  const args = ['-c', TERMINAL, JSON.stringify(steps), command];
  const child = spawn('python3', args, { cwd: folder, env: { ...process.env, ENV: '' } });
  const terminal = follow(child);
  await terminal.exited;
  return terminal.output();
}

it.skipIf(!hasPython)(
  'a worker reads the join string without echo, and passes none of it to the shell' +
    (hasPython ? '' : ' (skipped: no python3)'),
  async () => {
    const folder = temporaryFolder();
    // The shell would run each leftover part as a command.
    const paste = `\r\r${text.slice(0, 60)}\r${text.slice(60)}\rtouch here\r`;
    const shown = await onTerminal(
      [
        ['is not shown', paste],
        ['code=', 'echo still-here; exit\r'],
      ],
      folder,
    );
    expect(shown).toContain('Paste the join string');
    expect(shown).toContain(`code=${errorTable.UNREACHABLE.exit}`);
    expect(shown).toContain('still-here');
    expect(shown).not.toContain(token.slice(0, 12));
    expect(existsSync(join(folder, 'here'))).toBe(false);
  },
);

it.skipIf(!hasPython)('a worker asks again for an incomplete string, and ends on ^C', async () => {
  const shown = await onTerminal(
    [
      ['is not shown', `${text.slice(0, 60)}\r`],
      ['The join string is incomplete', '\u0003'],
      ['code=', 'exit\r'],
    ],
    temporaryFolder(),
  );
  expect(shown).toContain(`code=${errorTable.INTERRUPTED.exit}`);
  expect(shown).not.toContain(token.slice(0, 12));
});

it.skipIf(!hasPython)('a worker reads the join string from a non-blocking stdin', async () => {
  // A pipe whose writer is slow to write. Another process has made its reading end non-blocking.
  const script = `
import os, subprocess, sys, time
r, w = os.pipe(); os.set_blocking(r, False)
child = subprocess.Popen(sys.argv[1:], stdin=r); os.close(r)
time.sleep(1); os.write(w, b"\\n<${text}>\\n"); os.close(w); sys.exit(child.wait())
`;
  const late = follow(spawn('python3', ['-c', script, process.execPath, executable, ...worker]));
  expect(await late.exited, late.output()).toBe(errorTable.UNREACHABLE.exit);
  expect(late.output()).not.toContain('EAGAIN');
});
