import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { z } from 'zod';
import { whyMissing } from '../../fixtures/processes/installed.ts';
import { childrenOf } from '../../fixtures/processes/children.ts';
import { executable, follow, type Started } from '../../fixtures/processes/program.ts';

const scanner = fileURLToPath(new URL('scan.mjs', import.meta.url));
/** test/install-servers.sh installs these programs, on Debian. */
const PROGRAMS = ['unshare', 'nsenter', 'ip', 'tc', 'nft', 'tcpdump'];

/** Why this machine cannot simulate other hosts; undefined if it can. */
export const missing = whyNone();
export const why = missing === undefined ? '' : `: ${missing}`;

function whyNone(): string | undefined {
  const absent = whyMissing(PROGRAMS);
  if (absent !== undefined) return absent;
  const { status, stderr } = spawnSync('unshare', ['--net', 'true'], { encoding: 'utf8' });
  return status === 0 ? undefined : `network namespaces are not allowed (${stderr.trim()})`;
}

/**
 * Hosts with their own addresses. Each host is a network namespace, and all are connected to a
 * bridge in a further namespace. A namespace has no name in the file system, so it exists only
 * while it has processes. Its first process ends when the pipe from this process closes, so there
 * is nothing to clean up, however a test ends.
 */
export class Network {
  readonly #hub: Namespace;
  readonly #hosts = new Map<string, Host>();

  private constructor(hub: Namespace) {
    this.#hub = hub;
  }

  /** Opens a network that exists until its test ends. Its hosts are 10.77.0.1, 10.77.0.2, ... */
  static async open(...names: readonly string[]): Promise<Network> {
    const network = new Network(await Namespace.open());
    network.#hub.run('ip', 'link', 'add', 'bridge', 'type', 'bridge');
    network.#hub.run('ip', 'link', 'set', 'dev', 'bridge', 'up');
    for (const [i, name] of names.entries()) {
      const host = await Host.plugIn(network.#hub, name, `10.77.0.${i + 1}`);
      network.#hosts.set(name, host);
    }
    return network;
  }

  host(name: string): Host {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`there is no host ${name}`);
    return host;
  }
}

/** A separate machine, as far as the network can tell. */
export class Host {
  readonly name: string;
  readonly address: string;
  readonly #own: Namespace;
  readonly #hub: Namespace;

  private constructor(name: string, address: string, own: Namespace, hub: Namespace) {
    this.name = name;
    this.address = address;
    this.#own = own;
    this.#hub = hub;
  }

  /** Connects a namespace, by default a new one, to the bridge in `hub`. */
  static async plugIn(
    hub: Namespace,
    name: string,
    address: string,
    own?: Namespace,
  ): Promise<Host> {
    own ??= await Namespace.open();
    const cable = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', `${own.pid}`];
    hub.run('ip', 'link', 'add', 'name', name, ...cable);
    own.run('ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
    for (const device of ['lo', 'eth0']) own.run('ip', 'link', 'set', 'dev', device, 'up');
    hub.run('ip', 'link', 'set', 'dev', name, 'master', 'bridge', 'up');
    return new Host(name, address, own, hub);
  }

  /** Gives the host a further address, on a further network. */
  addAddress(address: string): void {
    this.#own.run('ip', 'address', 'add', `${address}/24`, 'dev', 'eth0');
  }

  /** Runs an mnist-dist command on this host; `paste` is its standard input. */
  start(args: readonly string[], paste = ''): Started {
    return follow(this.#own.spawn(process.execPath, executable, ...args), paste);
  }

  /** The TCP ports at that address that accept connections from this host. */
  async openPorts(address: string): Promise<number[]> {
    const scan = follow(this.#own.spawn(process.execPath, scanner, address));
    if ((await scan.exited) !== 0) throw new Error(scan.output());
    return scan.output().split('\n').filter(Boolean).map(Number);
  }

  /**
   * Runs any other program at the bridge's end of this host's link. There, the link's device has
   * the host's name.
   */
  watch(program: string, ...args: readonly string[]): Started {
    return follow(this.#hub.spawn(program, ...args));
  }

  /** A process on this host: /proc/PID/net shows the host's network. */
  get pid(): number {
    return this.#own.pid;
  }

  /** Limits the host's sending rate. Packets wait, or are dropped if too many are waiting. */
  limit(rate: string): void {
    const shape = ['tbf', 'rate', rate, 'burst', '32kbit', 'latency', '50ms'];
    this.#own.run('tc', 'qdisc', 'add', 'dev', 'eth0', 'root', ...shape);
  }

  /** Removes the limit; returns how many packets had to wait because of it. */
  unlimit(): number {
    const [shaped] = queues.parse(
      JSON.parse(this.#own.run('tc', '-j', '-s', 'qdisc', 'show', 'dev', 'eth0')),
    );
    this.#own.run('tc', 'qdisc', 'del', 'dev', 'eth0', 'root');
    return shaped?.overlimits ?? 0;
  }

  /** Drops `percent` of the packets from now on, in both directions. */
  lose(percent: number): void {
    for (const [end, device] of this.#ends())
      end.run(
        'nft',
        `table netdev loss { counter lost {}; chain arrives {
           type filter hook ingress device ${device} priority 0;
           numgen random mod 100 < ${percent} counter name lost drop; }; }`,
      );
  }

  /** How many packets to and from this host were dropped. */
  lost(): number[] {
    return this.#ends().map(([end]) => {
      const said = counters.parse(
        JSON.parse(end.run('nft', '-j', 'list', 'counters', 'table', 'netdev', 'loss')),
      );
      return said.nftables.reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
    });
  }

  /** Silently drops all packets to this port in a firewall. */
  drop(port: number): void {
    this.#own.run(
      'nft',
      'table inet firewall { chain arrives { type filter hook input priority 0; ' +
        `tcp dport ${port} drop; }; }`,
    );
  }

  unplug(): void {
    this.#hub.run('ip', 'link', 'set', 'dev', this.name, 'down');
  }

  plug(): void {
    this.#hub.run('ip', 'link', 'set', 'dev', this.name, 'up');
  }

  #ends(): [Namespace, string][] {
    return [
      [this.#own, 'eth0'],
      [this.#hub, this.name],
    ];
  }
}

const queues = z.array(z.object({ overlimits: z.int() }));
const counters = z.object({
  nftables: z.array(z.object({ counter: z.object({ packets: z.int() }).optional() })),
});

type Piped = ChildProcessByStdio<Writable, Readable, Readable>;
/** Takes what to do at the end. */
type AtEnd = (end: () => Promise<void>) => void;

/** A network namespace. */
export class Namespace {
  /** A process inside. */
  readonly pid: number;
  readonly #holder: Piped;
  readonly #kinds: readonly string[];

  private constructor(holder: Piped, pid: number, kinds: readonly string[]) {
    this.#holder = holder;
    this.pid = pid;
    this.#kinds = kinds;
  }

  /** A namespace that is gone when the running test has ended. */
  static async open(atEnd: AtEnd = onTestFinished): Promise<Namespace> {
    const holder = await hold(['--net', 'sh', '-c', 'echo here; exec cat'], atEnd);
    // Only a process that did not start has no pid, and this one has produced output.
    return new Namespace(holder, holder.pid ?? 0, ['--net']);
  }

  /**
   * A machine, with namespaces for its processes and mounts as well: its processes end together.
   * The first of them, a shell, reaps orphans.
   */
  static async openMachine(atEnd: AtEnd): Promise<Namespace> {
    const kinds = ['--net', '--mount', '--pid'];
    const init = 'exec 3<&0; echo here; cat <&3 & wait $!';
    const holder = await hold(
      [...kinds, '--fork', '--kill-child', '--mount-proc', 'sh', '-c', init],
      atEnd,
    );
    return new Namespace(holder, childrenOf(holder.pid)[0]?.pid ?? 0, kinds);
  }

  /** Ends a machine and all its processes at once. */
  async crash(): Promise<void> {
    const closed = once(this.#holder, 'close');
    this.#holder.kill('SIGKILL');
    await closed;
  }

  spawn(program: string, ...args: readonly string[]): Piped {
    return spawn('nsenter', [...this.#enter(), program, ...args]);
  }

  /** Returns what the program prints; throws with its error output if it fails. */
  run(program: string, ...args: readonly string[]): string {
    const command = [...this.#enter(), program, ...args];
    const { status, stdout, stderr } = spawnSync('nsenter', command, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  #enter(): string[] {
    return ['--target', `${this.pid}`, ...this.#kinds];
  }
}

/** Starts the first process of a namespace; it ends when its pipe from this process closes. */
async function hold(args: readonly string[], atEnd: AtEnd): Promise<Piped> {
  const holder = spawn('unshare', args);
  const closed = once(holder, 'close');
  atEnd(async () => {
    holder.stdin.end();
    await closed;
  });
  const failed = closed.then(([code]) => {
    throw new Error(`unshare ended with ${code}`);
  });
  await Promise.race([once(holder.stdout, 'data'), failed]);
  failed.catch(() => undefined);
  return holder;
}
