import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { childrenOf, type Child } from '../../fixtures/processes/children.ts';
import { executable, follow, until, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { Host, missing as noNetwork, Namespace } from '../hosts/network.ts';

/** test/system/ray/install.sh installs Ray here. */
const packages = fileURLToPath(new URL('../../../.mnist-dist/ray', import.meta.url));
const PORT = 6379;

/** Why there is no cluster to test with; undefined if there is one. */
export const missing = existsSync(join(packages, 'ray'))
  ? noNetwork
  : 'test/system/ray/install.sh did not install Ray';

interface Machine {
  readonly host: Host;
  readonly namespace: Namespace;
}

/** A process on the head of the cluster. */
export interface OnHead extends Started {
  /** The process itself: `process` is the one that entered the head's namespaces. */
  readonly inside: () => Promise<Child>;
}

/**
 * A Ray cluster of machines on this one. Each has its own processes, network, address and mounts,
 * so that no process listens outside, and a machine can crash.
 */
export class RayCluster {
  readonly #hub: Namespace;
  /** Contains Ray's files, in a file system of its own for each machine, node and mnist-dist. */
  readonly #folder: string;
  readonly #ends: (() => void | Promise<void>)[];
  readonly #machines = new Map<string, Machine>();
  #added = 0;

  private constructor(hub: Namespace, ends: (() => void | Promise<void>)[]) {
    this.#hub = hub;
    this.#ends = ends;
    this.#folder = temporaryFolder((clean) => ends.push(clean));
    mkdirSync(join(this.#folder, 't'));
    symlinkSync(executable, join(this.#folder, 'mnist-dist'));
    symlinkSync(process.execPath, join(this.#folder, 'node'));
  }

  /** Starts a cluster that consists of its head. */
  static async start(cpus: number): Promise<RayCluster> {
    const ends: (() => void | Promise<void>)[] = [];
    const hub = await Namespace.open((end) => ends.push(end));
    hub.run('ip', 'link', 'add', 'bridge', 'type', 'bridge');
    hub.run('ip', 'link', 'set', 'dev', 'bridge', 'up');
    const cluster = new RayCluster(hub, ends);
    try {
      await cluster.#add('head', cpus, ['--head', `--port=${PORT}`, '--dashboard-host=127.0.0.1']);
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Adds a machine; resolves when it is part of the cluster. */
  async add(name: string, cpus: number): Promise<void> {
    await this.#add(name, cpus, [`--address=${this.#machine('head').host.address}:${PORT}`]);
  }

  /** Kills all processes of a machine at once. */
  async crash(name: string): Promise<void> {
    await this.#machine(name).namespace.crash();
    this.#machines.delete(name);
  }

  /** Runs a program on the head; it is killed when its test ends. */
  run(program: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): OnHead {
    const { namespace } = this.#machine('head');
    const started = follow(namespace.spawn(...this.#command(program, args, environment)));
    onTestFinished(() => {
      for (const { pid } of childrenOf(started.process.pid)) process.kill(pid, 'SIGKILL');
    });
    const inside = () => until(() => childrenOf(started.process.pid)[0], started);
    return { ...started, inside };
  }

  /** The processes of a machine. */
  processes(name = 'head'): Child[] {
    const { namespace } = this.#machine(name);
    const ours = readlinkSync(`/proc/${namespace.pid}/ns/pid`);
    return readdirSync('/proc').flatMap((entry) => {
      try {
        if (!/^\d+$/.test(entry) || readlinkSync(`/proc/${entry}/ns/pid`) !== ours) return [];
        return { pid: Number(entry), arguments: readFileSync(`/proc/${entry}/cmdline`, 'utf8') };
      } catch {
        // It has ended in the meantime.
        return [];
      }
    });
  }

  /** The names of the files of Ray on the head, its logs included, that contain this text. */
  filesWith(secret: string): string {
    const { namespace } = this.#machine('head');
    // Files may disappear in the meantime.
    const find = `grep -rlsF --devices=skip '${secret}' ${this.#folder}/t || true`;
    return namespace.run('sh', '-c', find);
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }

  #machine(name: string): Machine {
    const machine = this.#machines.get(name);
    if (machine === undefined) throw new Error(`the cluster has no machine ${name}`);
    return machine;
  }

  async #add(name: string, cpus: number, role: readonly string[]): Promise<void> {
    const namespace = await Namespace.openMachine((end) => this.#ends.push(end));
    const address = `10.77.0.${++this.#added}`;
    const host = await Host.plugIn(this.#hub, name, address, namespace);
    this.#machines.set(name, { host, namespace });
    namespace.run('mount', '-t', 'tmpfs', 'none', join(this.#folder, 't'));
    const child = namespace.spawn(
      ...this.#command('ray', [
        'start',
        ...role,
        `--node-ip-address=${address}`,
        `--num-cpus=${cpus}`,
        '--num-gpus=0',
        // The smallest one that Ray accepts: a run stores no objects.
        '--object-store-memory=80000000',
      ]),
    );
    child.stdin.end();
    const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr)]);
    if (!output.includes('Ray runtime started'))
      throw new Error(`ray start failed on ${name}:\n${output}${errors}`);
  }

  /** A command with the environment of a machine that has Ray and mnist-dist. */
  #command(
    program: string,
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): [string, ...string[]] {
    const own = {
      PATH: [this.#folder, join(packages, 'bin'), process.env['PATH']].join(delimiter),
      PYTHONPATH: packages,
      PYTHONDONTWRITEBYTECODE: '1',
      RAY_TMPDIR: join(this.#folder, 't'),
      RAY_USAGE_STATS_ENABLED: '0',
      // A machine that does not answer is given up after 3 s rather than 15 s.
      RAY_health_check_initial_delay_ms: '1000',
      RAY_health_check_period_ms: '1000',
      RAY_health_check_timeout_ms: '1000',
      RAY_health_check_failure_threshold: '3',
      MNIST_DIST_ENGINE: 'reference',
      MNIST_DIST_PICTURES: 'no',
      MNIST_DIST_HTTP: 'no',
      ...environment,
    };
    const variables = Object.entries(own).map(([name, value]) => `${name}=${value}`);
    return ['env', ...variables, program, ...args];
  }
}
