import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { kernelNames } from '../../../../cli/bench/kernel-timing.ts';
import { phaseNames } from '../../../../cli/bench/step-phases.ts';
import { transports } from '../../../../cli/bench/exchange-bench.ts';
import { benchReportSchema } from '../../../../cli/bench/bench-report.ts';
import { packageRoot } from '../../../../shared/package-root.ts';

const temporary = mkdtempSync(join(tmpdir(), 'mnist-dist-test-bench-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const LIMIT_MILLISECONDS = 120_000;

/** Runs the command as a user does, with its own temporary folder; `watch` gets its stderr. */
function start(
  args: readonly string[],
  watch: (text: string, stop: () => void) => void = () => undefined,
) {
  const script = join(packageRoot, 'bin', 'mnist-dist.mjs');
  const child = spawn(process.execPath, [script, 'bench', ...args], {
    env: { ...process.env, TMPDIR: temporary, MNIST_DIST_HIDDEN: '16' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
    watch(output.stderr, () => child.kill('SIGINT'));
  });
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, ...output }));
  });
}

describe('mnist-dist bench', () => {
  test(
    'measures every section and leaves no files behind',
    async () => {
      const grid = ['--batch-sizes', '32', '--workers', '2,1', '--pairs', '1', '--steps', '5'];
      const { code, stdout, stderr } = await start(['--engine', 'wasm', '--json', ...grid]);
      expect(code, stderr).toBe(0);
      const report = benchReportSchema.parse(JSON.parse(stdout));
      expect(report.kernels.map(({ kernel }) => kernel)).toEqual(kernelNames);
      expect(report.engines.map(({ engine, shards }) => [engine, shards])).toEqual([
        ['wasm', 1],
        ['wasm', 2],
        ['wasm', 4],
      ]);
      const measured = report.wire.map(({ transport, workers }) => `${transport}, ${workers}`);
      expect(measured.toSorted()).toEqual(
        transports.flatMap((transport) => [1, 2].map((n) => `${transport}, ${n}`)).toSorted(),
      );
      expect(report.loop.map(({ workers, steps }) => [workers, steps])).toEqual([
        [2, 5],
        [1, 5],
      ]);
      for (const { steps_per_second: rate, phases } of report.loop) {
        expect(rate).toMatchObject({ repetitions: 1, min: rate.median, max: rate.median });
        expect(rate.median).toBeGreaterThan(0);
        expect(phases.map(({ phase }) => phase)).toEqual(phaseNames);
        expect(phases.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
      }
      expect(stderr).toContain('repetition 1');
      expect(readdirSync(temporary)).toEqual([]);
    },
    LIMIT_MILLISECONDS,
  );

  test(
    'exits with 130 on Ctrl-C and leaves no files behind',
    async () => {
      let stopped = false;
      const { code, stdout, stderr } = await start(['--engine', 'reference'], (text, stop) => {
        if (stopped || !text.includes('repetition 1')) return;
        stopped = true;
        stop();
      });
      expect(code, stderr).toBe(130);
      expect(stdout).toBe('');
      expect(readdirSync(temporary)).toEqual([]);
    },
    LIMIT_MILLISECONDS,
  );
});
