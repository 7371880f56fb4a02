import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readyTensorFlow } from '../../../worker/native/engine-manifest.ts';
import { workerEnvironment } from '../../../worker/native/device-environment.ts';
import { noGpus } from '../../../worker/native/usable-gpus.ts';

const script = fileURLToPath(
  new URL('../../fixtures/engine/signalled-engine.mjs', import.meta.url),
);
const SIGNALS = 500;

describe('signals while TensorFlow computes', () => {
  // On processors with AVX-512, the process crashed after about a hundred signals.
  it('neither end the process nor change a gradient', async () => {
    const native = readyTensorFlow();
    if (native === undefined) throw new Error('TensorFlow is not set up');
    const device = { threads: 1, device: 'cpu' } as const;
    const environment = workerEnvironment(native, device, noGpus);
    const child = spawn(process.execPath, [script, String(SIGNALS)], {
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(child, 'close');
    const lines: string[] = [];
    const reader = createInterface(child.stdout).on('line', (line) => lines.push(line));
    await Promise.race([once(reader, 'line'), ended]);
    while (lines.length < 2 && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGUSR2');
      await wait(1);
    }
    // A process that is about to exit no longer handles signals.
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
    const counted = JSON.parse(lines[1] ?? '{}') as { signals: number; wrong: number };
    expect(counted.signals).toBeGreaterThanOrEqual(SIGNALS);
    expect(counted.wrong).toBe(0);
  });
});
