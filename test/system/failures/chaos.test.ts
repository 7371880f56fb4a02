import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { QUICK_RECIPE } from '../../fixtures/processes/options.ts';

const script = fileURLToPath(new URL('chaos.mjs', import.meta.url));

async function chaos(...args: readonly string[]): Promise<{ code: unknown; output: string }> {
  const all = ['--engine', 'reference', '--every', '0.5', '--coordinator-after', '1', ...args];
  const child = spawn(process.execPath, [script, ...all, '--', ...QUICK_RECIPE], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const output = await text(child.stdout);
  const [code] = await ended;
  return { code, output };
}

describe('npm run chaos', () => {
  it('kills processes, counts steps and compares bytes', async () => {
    const { code, output } = await chaos(
      '--steps',
      '6000',
      '--worker-kills',
      '3',
      '--coordinator-kills',
      '1',
    );
    expect(code, output).toBe(0);
    expect(output).toMatch(/first and the last step: 3 workers, 1 coordinators/);
    const digests = [...output.matchAll(/disturbed: +([0-9a-f]{64})/g)].map(([, digest]) => digest);
    expect(new Set(digests).size, output).toBe(1);
    expect(digests).toHaveLength(2);
  });

  it('fails when the run is too short', async () => {
    const { code, output } = await chaos(
      '--steps',
      '20',
      '--worker-kills',
      '3',
      '--coordinator-kills',
      '0',
    );
    expect(code, output).toBe(1);
    expect(output).toMatch(/FAILED: \d of 3 workers died: the run was too short/);
  });
});
