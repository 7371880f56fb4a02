import { spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { readMetrics, type MetricsLine } from '../../shared/metrics.ts';
import { parseRunRecord, type RunRecord } from '../../shared/run-schema.ts';

export const executable = fileURLToPath(new URL('../../bin/mnist-dist.mjs', import.meta.url));
/** Guards against a process that hangs; far above what any command needs. */
const HANG_MILLISECONDS = 240_000;

/** A process of the cluster; it is stopped when its test ends. */
export interface Started {
  readonly process: ChildProcess;
  /** Exit code, or undefined when a signal ended it. */
  readonly exited: Promise<number | undefined>;
  output(): string;
  /** Resolves with the first match in what it has printed so far or will print. */
  says(pattern: RegExp): Promise<RegExpMatchArray>;
}

export function start(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  node = process.execPath,
): Started {
  const child = spawn(node, [executable, ...args], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const watchers = new Set<() => void>();
  const add = (text: string): void => {
    output += text;
    for (const watch of watchers) watch();
  };
  child.stdout.setEncoding('utf8').on('data', add);
  child.stderr.setEncoding('utf8').on('data', add);
  const limit = setTimeout(() => child.kill('SIGKILL'), HANG_MILLISECONDS);
  const exited = new Promise<number | undefined>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(limit);
      add('');
      resolve(code ?? undefined);
    });
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const says = (pattern: RegExp) =>
    new Promise<RegExpMatchArray>((resolve, reject) => {
      const watch = (): void => {
        const match = pattern.exec(output);
        if (match !== null) {
          watchers.delete(watch);
          resolve(match);
        } else if (child.exitCode !== null || child.signalCode !== null) {
          reject(new Error(`it ended without saying ${pattern}:\n${output}`));
        }
      };
      watchers.add(watch);
      watch();
    });
  return { process: child, exited, output: () => output, says };
}

/** Runs a command to its end. */
export async function run(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  node = process.execPath,
): Promise<{ code: number | undefined; output: string }> {
  const started = start(args, environment, node);
  const code = await started.exited;
  return { code, output: started.output() };
}

/** A folder that is removed when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface FinishedRun {
  readonly record: RunRecord;
  readonly lines: readonly MetricsLine[];
  readonly events: readonly Record<string, unknown>[];
  readonly modelSha256: string;
}

/** Reads and verifies what a run left behind. */
export function readRun(directory: string): FinishedRun {
  const text = (name: string) => readFileSync(join(directory, name), 'utf8');
  const metrics = readMetrics(text('metrics.jsonl'));
  if (metrics.bad !== undefined || metrics.torn)
    throw new Error(`metrics.jsonl is damaged: ${JSON.stringify(metrics.bad)}`);
  return {
    record: parseRunRecord(text('run.json'), 'run.json'),
    lines: metrics.lines,
    events: text('events.jsonl')
      .trimEnd()
      .split('\n')
      .map((line): Record<string, unknown> => JSON.parse(line)),
    modelSha256: createHash('sha256')
      .update(readFileSync(join(directory, 'model.safetensors')))
      .digest('hex'),
  };
}

/** `local` with these arguments, to its end; expects exit code 0. */
export async function train(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  node = process.execPath,
): Promise<FinishedRun> {
  const runs = temporaryFolder();
  const { code, output } = await run(
    ['local', '--port', '0', '--runs-dir', runs, '--run-id', 'r', ...args],
    environment,
    node,
  );
  if (code !== 0) throw new Error(`exit code ${code}:\n${output}`);
  return readRun(join(runs, 'r'));
}
