import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const script = fileURLToPath(new URL('../../../deploy/slurm/coordinator.sh', import.meta.url));

/** A fake program: `certs` waits for the file `go`; `coordinator` creates the file `started`. */
const PROGRAM = `
import { existsSync, writeFileSync } from 'node:fs';
const [command, ...args] = process.argv.slice(2);
if (command === 'certs') {
  writeFileSync(args[args.indexOf('--out') + 1] + '/ca.key', '');
  writeFileSync('certs', '');
  const waiting = setInterval(() => existsSync('go') && clearInterval(waiting), 10);
} else writeFileSync('started', '');
`;

it.each([
  [true, 143, false],
  [false, 0, true],
])(
  'a coordinator of a job that is stopped early (%s) ends with %d',
  async (isStopped, code, starts) => {
    const folder = temporaryFolder();
    const inFolder = (name: string) => join(folder, name);
    mkdirSync(inFolder('bin'));
    writeFileSync(inFolder('bin/mnist-dist.mjs'), PROGRAM);
    const child = spawn('bash', [script, inFolder('r')], {
      cwd: folder,
      env: { ...process.env, SLURMD_NODENAME: 'n1', TMPDIR: folder },
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    await expect.poll(() => existsSync(inFolder('certs')), { timeout: 30_000 }).toBe(true);
    if (isStopped) child.kill('SIGTERM');
    writeFileSync(inFolder('go'), '');
    expect(await ended).toEqual([code, null]);
    expect(existsSync(inFolder('started'))).toBe(starts);
  },
);
