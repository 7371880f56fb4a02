// What the benchmarks of whole programs have in common.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** No measurement takes longer, even on a slow machine. */
const LIMIT_MILLISECONDS = 600_000;
/** Steps that run.json leaves out of steps_per_second. */
export const WARM_UP_STEPS = 200;

/** Runs a program and resolves with what it printed; rejects if it fails. */
export async function run(program, args, environment = {}) {
  const child = spawn(program, args, {
    env: { ...process.env, OMP_NUM_THREADS: '1', CUDA_VISIBLE_DEVICES: '-1', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MILLISECONDS,
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (errors = (errors + text).slice(-4000)));
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code === 0) return output;
  throw new Error(`${program} ${args.join(' ')} ended with ${code}:\n${errors}`);
}

/**
 * Trains with `mnist-dist local` of a checkout, and resolves with its speed, its version and the
 * digest of the weights after each step.
 */
export async function trainWith(checkout, scratch, { batch, processes, steps, options = [] }) {
  const runs = mkdtempSync(join(scratch, 'runs-'));
  await run(process.execPath, [
    join(checkout, 'bin', 'mnist-dist.mjs'),
    'local',
    `--nproc-per-node=${processes}`,
    `--batch-size=${batch}`,
    `--steps=${steps + WARM_UP_STEPS}`,
    ...options,
    '--no-pictures',
    '--http-port=0',
    `--runs-dir=${runs}`,
  ]);
  const [id = ''] = readdirSync(runs);
  const { result, version } = JSON.parse(readFileSync(join(runs, id, 'run.json'), 'utf8'));
  const weights = createHash('sha256');
  for (const line of readFileSync(join(runs, id, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n'))
    weights.update(`${JSON.parse(line).weights}\n`);
  rmSync(runs, { recursive: true });
  return { stepsPerSecond: result.steps_per_second, version, weights: weights.digest('hex') };
}

export function numbers(text) {
  return text.split(',').map(Number);
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
