import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import { z } from 'zod';
import { whyMissing } from '../../fixtures/processes/installed.ts';
import { until } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const script = fileURLToPath(new URL('slurm.mjs', import.meta.url));
const programs = ['munged', 'slurmctld', 'slurmd', 'sbatch', 'unshare'];
const ready = z.object({ SLURM_CONF: z.string() });
const execute = promisify(execFile);

/** Why there is no cluster to test with; undefined if there is one. */
export const missing = reason();
export const why = missing === undefined ? '' : `: ${missing}`;

function reason(): string | undefined {
  if (process.getuid?.() !== 0) return 'its daemons need root';
  const absent = whyMissing(programs);
  if (absent !== undefined) return absent;
  const namespace = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']);
  return namespace.status === 0 ? undefined : 'unshare --pid is not allowed here';
}

/** The state of a job, as `scontrol show job` reports it. */
export interface JobState {
  /** PENDING, RUNNING, COMPLETING, COMPLETED, FAILED, CANCELLED, ... */
  readonly state: string;
  readonly restarts: number;
  readonly exit: number;
  readonly node: string;
}

export interface Job {
  readonly id: string;
  readonly state: () => Promise<JobState>;
  /** Waits until the job is neither in the queue nor running. */
  readonly ended: () => Promise<JobState>;
  /** The job's output so far; for an array, the output of all its jobs. */
  readonly log: () => string;
}

/** A cluster of four nodes on this machine. */
export class Slurm {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #end: () => Promise<void>;

  private constructor(environment: NodeJS.ProcessEnv, end: () => Promise<void>) {
    this.#environment = environment;
    this.#end = end;
  }

  static async start(): Promise<Slurm> {
    const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    const closed = once(child, 'close');
    child.stdin.on('error', () => undefined);
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const first = await lines.next();
    if (first.done === true) throw new Error('Slurm did not start; the output above says why');
    return new Slurm(ready.parse(JSON.parse(first.value)), async () => {
      child.stdin.end();
      await closed;
    });
  }

  stop(): Promise<void> {
    return this.#end();
  }

  /** `sbatch` in the root of the checkout. The job is cancelled when its test ends. */
  async submit(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Job> {
    const log = join(temporaryFolder(), 'log');
    const id = await this.call('sbatch', ['--parsable', `--output=${log}`, ...args], environment);
    const job: Job = {
      id,
      state: () => this.#state(id),
      ended: () => this.#ended(id),
      log: () => readFileSync(log, 'utf8'),
    };
    onTestFinished(async () => {
      await this.call('scancel', [id]);
      await job.ended();
    });
    return job;
  }

  /** Runs one of Slurm's commands. Resolves with its output; rejects if it fails. */
  async call(
    program: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): Promise<string> {
    const env = { ...process.env, ...this.#environment, ...environment };
    const { stdout } = await execute(program, args, { cwd: root, env });
    return stdout.trim();
  }

  async #state(id: string): Promise<JobState> {
    const text = await this.call('scontrol', ['--oneliner', 'show', 'job', id]);
    const field = (name: string) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(text)?.[1] ?? '';
    const [exit = ''] = field('ExitCode').split(':');
    return {
      state: field('JobState'),
      restarts: Number(field('Restarts')),
      exit: Number(exit),
      node: field('BatchHost'),
    };
  }

  async #ended(id: string): Promise<JobState> {
    return await until(async () => {
      const queued = await this.call('squeue', ['--noheader', '--format=%i']);
      const isQueued = queued.split('\n').some((each) => each === id || each.startsWith(`${id}_`));
      return isQueued ? undefined : await this.#state(id);
    });
  }
}
