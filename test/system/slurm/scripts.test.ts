import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { until } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { standIns, systemPath } from '../../fixtures/engine/fake-programs.ts';

const deploy = fileURLToPath(new URL('../../../deploy', import.meta.url));

/**
 * A fake program: it records how it was called, and exits with the next exit code. If none is left,
 * it waits for SIGTERM.
 */
const PROGRAM = `
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
const [command, ...args] = process.argv.slice(2);
const after = (flag) => args[args.indexOf(flag) + 1];
const note = (call) => appendFileSync('calls.jsonl', JSON.stringify(call) + '\\n');
if (command === 'certs') {
  for (const name of ['ca.crt', 'ca.key', 'coordinator.crt', 'coordinator.key'])
    writeFileSync(after('--out') + '/' + name, '');
} else {
  const codes = JSON.parse(readFileSync('codes.json', 'utf8'));
  const said = command === 'worker' ? readFileSync(0, 'utf8') : undefined;
  const files = [
    'r/join',
    after('--ssl-keyfile'),
    after('--ssl-certfile')?.replace('coordinator.crt', 'ca.key'),
  ];
  // The test may send SIGTERM as soon as it reads the note.
  if (codes.length === 0) {
    const life = setInterval(() => undefined, 1000);
    process.on('SIGTERM', () => setTimeout(() => {
      note({ command: 'ended' });
      clearInterval(life);
      process.exitCode = 143;
    }, 200));
  }
  note({ command, args, said, there: files.map((file) => existsSync(file ?? '')) });
  if (command === 'worker') writeFileSync('r/join', said + 'I');
  writeFileSync('codes.json', JSON.stringify(codes.slice(1)));
  process.exitCode = codes[0];
}
`;

interface Call {
  readonly command: string;
  readonly args: readonly string[];
  readonly said?: string;
  /** Whether the join file, the coordinator's key and the authority's key exist. */
  readonly there: readonly [boolean, boolean, boolean];
}

/**
 * A checkout with the scripts, a program that exits with these codes, and a run in the folder `r`.
 */
class Checkout {
  readonly folder = temporaryFolder();

  constructor(codes: readonly number[], run: Readonly<Record<string, string>>) {
    symlinkSync(deploy, join(this.folder, 'deploy'));
    this.#write('bin/mnist-dist.mjs', PROGRAM);
    this.#write('codes.json', JSON.stringify(codes));
    for (const [name, text] of Object.entries(run)) this.#write(`r/${name}`, text);
  }

  #write(name: string, text: string): void {
    mkdirSync(dirname(join(this.folder, name)), { recursive: true });
    writeFileSync(join(this.folder, name), text);
  }

  calls(): Call[] {
    const file = join(this.folder, 'calls.jsonl');
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    return lines.map((line): Call => JSON.parse(line));
  }

  /** Starts a script as Slurm does on a node. All its processes get SIGTERM together. */
  start(command: readonly string[], environment: NodeJS.ProcessEnv = {}) {
    const child = spawn('bash', command, {
      cwd: this.folder,
      env: {
        PATH: [dirname(process.execPath), ...systemPath].join(':'),
        SLURMD_NODENAME: 'n7',
        SLURM_JOB_ID: '12',
        SLURM_PROCID: '3',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    const signal = (name: NodeJS.Signals) => process.kill(-(child.pid ?? 0), name);
    const exited = once(child, 'close').then(([code]: unknown[]) => ({ code, output }));
    onTestFinished(async () => {
      if (child.exitCode === null && child.signalCode === null) signal('SIGKILL');
      await exited;
    });
    return { exited, signal };
  }
}

const RUNNING = '{\n  "state": "running"\n}\n';
const FINISHED = '{\n  "state": "finished"\n}\n';
const RESTARTED = { SLURM_RESTART_COUNT: '1' };

describe("the coordinator's script", () => {
  const script = ['deploy/slurm/coordinator.sh', 'r', '--epochs', '2'];

  it.each([
    ['starts a run', {}, {}, ['--runs-dir', '.', '--run-id', 'r']],
    [
      'starts the run again after dying before the run had started',
      { join: 'old' },
      RESTARTED,
      ['--runs-dir', '.'],
    ],
    ['resumes a given run', { 'run.json': RUNNING }, {}, ['--resume', 'r', '--epochs']],
    [
      'resumes after a requeue, whichever node had the lock',
      { 'run.json': RUNNING, join: 'old' },
      RESTARTED,
      ['--resume', 'r', '--take-over'],
    ],
    ['extends a run', { 'run.json': FINISHED }, {}, ['--resume', 'r', '--epochs']],
  ])('%s', async (_what, run, environment, expected) => {
    const checkout = new Checkout([0], run);
    expect(await checkout.start(script, environment).exited).toMatchObject({ code: 0 });
    const [call] = checkout.calls();
    expect(call?.args.slice(-2)).toEqual(['--epochs', '2']);
    const at = call?.args.indexOf(expected[0] ?? '') ?? -1;
    expect(call?.args.slice(at, at + expected.length)).toEqual(expected);
  });

  it('first removes the stale join file, and removes its keys at the end', async () => {
    const checkout = new Checkout([0], { join: 'old' });
    await checkout.start(script).exited;
    const [call] = checkout.calls();
    expect(call?.there).toEqual([false, true, false]);
    const { args = [] } = call ?? {};
    expect(args.slice(0, 6)).toEqual(['--host', '0.0.0.0', '--port', '0', '--advertise', 'n7']);
    expect(existsSync(args[args.indexOf('--ssl-keyfile') + 1] ?? '.')).toBe(false);
  });

  it('does nothing after a requeue if the run has finished', async () => {
    const checkout = new Checkout([], { 'run.json': FINISHED });
    expect(await checkout.start(script, RESTARTED).exited).toMatchObject({ code: 0 });
    expect(checkout.calls()).toEqual([]);
  });

  it("exits with the coordinator's exit code once the coordinator has ended", async () => {
    expect(await new Checkout([28], {}).start(script).exited).toMatchObject({ code: 28 });
    const checkout = new Checkout([], {});
    const job = checkout.start(script);
    await until(() => (checkout.calls().length > 0 ? true : undefined));
    job.signal('SIGTERM');
    expect(await job.exited).toMatchObject({ code: 143 });
    expect(checkout.calls().at(-1)?.command).toBe('ended');
  });
});

describe("the worker's script", () => {
  const script = ['deploy/slurm/worker.sh', 'r', '--threads', '2'];

  it('rereads the join file after each failure that an outdated one could cause', async () => {
    const { UNREACHABLE, UNAUTHORIZED, TLS, TERMINATED, INTERRUPTED, HUNG_UP } = errorTable;
    const codes = [UNREACHABLE, UNAUTHORIZED, TLS, TERMINATED, INTERRUPTED, HUNG_UP].map(
      ({ exit }) => exit,
    );
    const checkout = new Checkout([...codes, 0], { join: 'X' });
    expect(await checkout.start(script).exited).toMatchObject({ code: 0 });
    const calls = checkout.calls();
    expect(calls.map(({ said }) => said)).toEqual([
      'X',
      'XI',
      'XII',
      'XIII',
      'XIIII',
      'XIIIII',
      'XIIIIII',
    ]);
    const args = ['--join', '-', '--max-wait-time', '5', '--name', 'n7.12.3', '--threads', '2'];
    expect(calls[0]?.args).toEqual(args);
  });

  it('gives its worker the name that scancel uses', async () => {
    const checkout = new Checkout([0], { join: 'X' });
    await checkout.start(script, { SLURM_ARRAY_JOB_ID: '10', SLURM_ARRAY_TASK_ID: '2' }).exited;
    expect(checkout.calls()[0]?.args).toContain('n7.10_2');
  });

  it('exits with the same exit code after any other failure', async () => {
    const checkout = new Checkout([errorTable.FINGERPRINT.exit], { join: 'X' });
    expect(await checkout.start(script).exited).toMatchObject({
      code: errorTable.FINGERPRINT.exit,
    });
    expect(checkout.calls()).toHaveLength(1);
  });

  it('ends cleanly if the run is finished and is not extended', async () => {
    const checkout = new Checkout([], { 'run.json': FINISHED });
    const ended = await checkout.start(script, { WAIT_SECONDS: '1' }).exited;
    expect(ended).toEqual({ code: 0, output: 'the run r is finished\n' });
  });

  it('waits for a coordinator that extends a finished run', async () => {
    const checkout = new Checkout([0], { 'run.json': FINISHED });
    const job = checkout.start(script);
    writeFileSync(join(checkout.folder, 'r', 'join'), 'X');
    expect(await job.exited).toMatchObject({ code: 0 });
    expect(checkout.calls()).toHaveLength(1);
  });

  it('gives up if no coordinator answers', async () => {
    const ended = await new Checkout([], {}).start(script, { WAIT_SECONDS: '1' }).exited;
    expect(ended.code).toBe(errorTable.UNREACHABLE.exit);
    expect(ended.output).toBe('no coordinator of the run r has answered for 1 s (WAIT_SECONDS)\n');
  });

  it('ends on SIGTERM after its worker has ended', async () => {
    const checkout = new Checkout([], { join: 'X' });
    const job = checkout.start(script);
    await until(() => (checkout.calls().length > 0 ? true : undefined));
    job.signal('SIGTERM');
    expect(await job.exited).toMatchObject({ code: 143 });
    expect(checkout.calls().map(({ command }) => command)).toEqual(['worker', 'ended']);
  });
});

describe('a job', () => {
  it.each([
    ['is requeued when it was told to end, however often', '143', 'RUNNING', '1000', true],
    ['is requeued when it was killed', '137', 'RUNNING', '', true],
    ['is requeued after an internal error', '1', 'RUNNING', '99', true],
    ['is not requeued when it has crashed too often', '137', 'RUNNING', '100', false],
    ['is not requeued when Slurm requeues or cancels it', '143', 'COMPLETING', '', false],
    ['is not requeued when SIGINT ended it', '130', 'RUNNING', '', false],
    ['is not requeued when SIGHUP ended it', '129', 'RUNNING', '', false],
    ['is not requeued when its options are invalid', '2', 'RUNNING', '', false],
    ['is not requeued when it has succeeded', '0', 'RUNNING', '', false],
  ])('%s', async (_what, code, state, restarts, isRequeued) => {
    const checkout = new Checkout([], {});
    const bin = standIns({
      squeue: `[ "$3" = 12 ] && echo ${state}`,
      scontrol: 'echo "asked: $*"',
    });
    const job = checkout.start(['-euc', `. deploy/slurm/job.bash; finish ${code}`], {
      PATH: [bin, ...systemPath].join(':'),
      SLURM_RESTART_COUNT: restarts,
    });
    const ended = await job.exited;
    expect(ended.code).toBe(Number(code));
    expect(ended.output).toBe(
      isRequeued ? `exit code ${code}: requeueing this job\nasked: requeue 12\n` : '',
    );
  });
});
