import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { readMetrics, type MetricsLine } from '../../shared/files/metrics.ts';
import { parseRunRecord, type RunRecord } from '../../shared/files/run-schema.ts';

export const executable = fileURLToPath(new URL('../../bin/mnist-dist.mjs', import.meta.url));
/** A recipe whose steps take a millisecond or two. */
export const QUICK_RECIPE = ['--hidden', '8', '--seed', '7', '--batch-size', '64'];
export const REFERENCE = ['--engine', 'reference'];
export const TOKEN = 'a-token-of-the-tests-0123456789';
/** Guards against a process that hangs; far above what any command needs. */
const HANG_MILLISECONDS = 240_000;
const LOOK_MILLISECONDS = 20;

/** Options of a run called `r` in this folder, on whatever port is free. */
export const newRun = (runs: string): string[] => ['--port', '0', '--runs-dir', runs, '--run-id', 'r'];

/** A process of the cluster; it is stopped when its test ends. */
export interface Started {
  readonly process: ChildProcess;
  /** Exit code, or undefined when a signal ended it. */
  readonly exited: Promise<number | undefined>;
  output(): string;
  /** Resolves with the first match in what it has printed so far, from this character on, or will print. */
  says(pattern: RegExp, from?: number): Promise<RegExpMatchArray>;
}

export function start(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  node = process.execPath,
  input = '',
): Started {
  return follow(
    spawn(node, [executable, ...args], {
      // What few tests look at takes two seconds to draw.
      env: { ...process.env, MNIST_DIST_PICTURES: 'no', ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    }),
    input,
  );
}

/** Collects what a process prints, and stops it when its test ends. `null` leaves its stdin open. */
export function follow(
  child: ChildProcessByStdio<Writable, Readable, Readable>,
  input: string | null = '',
): Started {
  // One that ends before it has read it is not the test's matter.
  child.stdin.on('error', () => undefined);
  if (input !== null) child.stdin.end(input);
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
  const says = (pattern: RegExp, from = 0) =>
    new Promise<RegExpMatchArray>((resolve, reject) => {
      const watch = (): void => {
        const match = pattern.exec(output.slice(from));
        if (match !== null) {
          watchers.delete(watch);
          resolve(match);
        } else if (isOver(child)) {
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

/** A folder that is removed when the test ends; one of several that run at once says by its own hook when that is. */
export function temporaryFolder(later: (clean: () => void) => void = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-test-'));
  later(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Looks until there is an answer, at most for as long as a process may hang, or until this one ends. */
export async function until<T>(
  look: () => T | undefined | Promise<T | undefined>,
  meanwhile?: Started,
): Promise<T> {
  const signal = AbortSignal.timeout(HANG_MILLISECONDS);
  for (;;) {
    const hasEnded = meanwhile !== undefined && isOver(meanwhile.process);
    const found = await look();
    if (found !== undefined) return found;
    if (hasEnded) throw new Error(`it ended too early:\n${meanwhile.output()}`);
    await sleep(LOOK_MILLISECONDS, undefined, { signal });
  }
}

function isOver({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Ports that nobody listened on a moment ago, no two alike. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  return servers.map((server) => {
    // A listening server's address is that of a port, not of a pipe.
    const { port } = server.address() as AddressInfo;
    server.close();
    return port;
  });
}

export async function freePort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

export interface Child {
  readonly pid: number;
  readonly arguments: string;
}

/** The children of a process, from the process table; none where it is gone. */
export function childrenOf(pid = 0): Child[] {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  const pids = read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
  return pids.map((child) => ({ pid: child, arguments: read(`/proc/${child}/cmdline`) }));
}

/** Whether this very process still runs; a number used again has other arguments, a zombie has none. */
export function lives(child: Child): boolean {
  try {
    return readFileSync(`/proc/${child.pid}/cmdline`, 'utf8') === child.arguments;
  } catch {
    return false;
  }
}

export async function gone(children: readonly Child[]): Promise<void> {
  await until(() => (children.some(lives) ? undefined : true));
}

/** A child of `local`: its coordinator, or the worker of this name; undefined while it has none. */
export function findChild(local: Started, name: string): Child | undefined {
  const says = name === 'coordinator' ? '\0coordinator\0' : `\0--name=${name}\0`;
  return childrenOf(local.process.pid).find((each) => each.arguments.includes(says));
}

export function childOf(local: Started, name: string): number {
  const child = findChild(local, name);
  if (child === undefined) throw new Error(`local has no ${name}`);
  return child.pid;
}

/** A coordinator that listens, its address, and the folder that has its run, r. */
export async function startCoordinator(
  args: readonly string[],
): Promise<{ process: Started; url: string; runs: string }> {
  const runs = temporaryFolder();
  const process = start(['coordinator', ...newRun(runs), ...args], {
    MNIST_DIST_TOKEN: TOKEN,
  });
  const [, url = ''] = await process.says(/--coordinator (ws:\S+)/);
  return { process, url, runs };
}

export function startWorker(url: string, args: readonly string[] = [], token = TOKEN): Started {
  return start(['worker', '--engine', 'reference', '--coordinator', url, ...args], {
    MNIST_DIST_TOKEN: token,
  });
}

/** Steps that stand in metrics.jsonl by now: those that are older than a second, at least. */
export function stepsWritten(directory: string): number {
  try {
    return readFileSync(join(directory, 'metrics.jsonl'), 'utf8').split('"kind":"step"').length - 1;
  } catch {
    return 0;
  }
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

/** Every step once, every sample of them counted once, and the same bytes. */
export function expectSame(disturbed: FinishedRun, undisturbed: FinishedRun): void {
  expect(disturbed.modelSha256).toBe(undisturbed.modelSha256);
  expect(disturbed.record.chain).toBe(undisturbed.record.chain);
  const steps = ({ lines }: FinishedRun) => lines.filter(({ kind }) => kind === 'step');
  expect(steps(disturbed).map(({ step }) => step)).toEqual(steps(undisturbed).map(({ step }) => step));
}

/** `local` with these arguments, to its end; expects exit code 0. */
export async function train(
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  node = process.execPath,
): Promise<FinishedRun> {
  const runs = temporaryFolder();
  const { code, output } = await run(['local', ...newRun(runs), ...args], environment, node);
  if (code !== 0) throw new Error(`exit code ${code}:\n${output}`);
  return readRun(join(runs, 'r'));
}
