import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountOf, type Compose, type Service } from '../../fixtures/deploy/compose.ts';

const LOOK_MILLISECONDS = 200;

export interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Debian's buildah and podman, with all their files in one folder. */
export class Podman {
  readonly scratch: string;
  readonly #environment: NodeJS.ProcessEnv;

  constructor(scratch: string) {
    this.scratch = scratch;
    const [containers, storage] = [join(scratch, 'containers.conf'), join(scratch, 'storage.conf')];
    writeFileSync(
      storage,
      `[storage]\ndriver = "overlay"\ngraphroot = "${scratch}/storage"\n` +
        `runroot = "${scratch}/run"\n`,
    );
    writeFileSync(
      containers,
      [
        '[containers]',
        // This machine's limits may be lower than podman's.
        'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]',
        'init_path = "/usr/bin/catatonit"',
        '[engine]',
        'runtime = "runc"',
        'events_logger = "file"',
        'cgroup_manager = "cgroupfs"',
        `volume_path = "${scratch}/volumes"`,
        '[network]',
        `network_config_dir = "${scratch}/networks"`,
        '',
      ].join('\n'),
    );
    this.#environment = {
      ...process.env,
      CONTAINERS_CONF: containers,
      CONTAINERS_STORAGE_CONF: storage,
    };
  }

  /** Runs a program on this machine until it ends. */
  async run(program: string, ...args: readonly string[]): Promise<Ended> {
    const child = spawn(program, args, {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    const [code] = await once(child, 'close');
    return {
      code: typeof code === 'number' ? code : 1,
      output: output.replaceAll(/^.*systemd.*\n/gm, ''),
    };
  }

  /** Like `run`, but rejects with the program's output if the exit code is not 0. */
  async must(program: string, ...args: readonly string[]): Promise<string> {
    const { code, output } = await this.run(program, ...args);
    if (code !== 0)
      throw new Error(`${program} ${args.join(' ')} exited with ${code}:\n${output.slice(-4000)}`);
    return output.trim();
  }

  /** Builds deploy/docker/Dockerfile; `more` are further arguments, such as --target STAGE. */
  async build(tag: string, checkout: string, ...more: readonly string[]): Promise<void> {
    await this.must(
      'buildah',
      'bud',
      '--isolation',
      'chroot',
      '--network',
      'host',
      '--pull-never',
      '--format',
      'docker',
      '--layers',
      '--ulimit',
      'nofile=1024:1024',
      '--file',
      join(checkout, 'deploy/docker/Dockerfile'),
      '--tag',
      tag,
      ...more,
      checkout,
    );
  }

  /** Starts a Compose service with all its fields, in a network that resolves its name. */
  async start(name: string, service: Service, { secrets }: Compose, place: Place): Promise<void> {
    const each = (flag: string, values: readonly string[]) =>
      values.flatMap((value) => [flag, value]);
    const inFolder = (path: string) => (path.startsWith('.') ? join(place.folder, path) : path);
    const [program, ...script] = service.entrypoint;
    await this.must(
      'podman',
      'run',
      '--detach',
      '--name',
      name,
      '--network',
      place.network,
      ...(service.hostname === undefined
        ? []
        : ['--hostname', service.hostname, '--network-alias', service.hostname]),
      ...(service.init === true ? ['--init'] : []),
      ...(service.read_only === true ? ['--read-only'] : []),
      ...(service.healthcheck?.disable === true ? ['--no-healthcheck'] : []),
      ...(service.restart === undefined ? [] : ['--restart', service.restart]),
      ...(service.stop_grace_period === undefined
        ? []
        : ['--stop-timeout', String(Number.parseInt(service.stop_grace_period, 10))]),
      ...each('--tmpfs', service.tmpfs),
      ...each('--cap-drop', service.cap_drop),
      ...each(
        '--security-opt',
        service.security_opt.map((option) => option.replace(/:true$/, '')),
      ),
      ...each('--group-add', service.group_add),
      ...each(
        '--env',
        Object.entries(service.environment).map((entry) => entry.join('=')),
      ),
      ...each(
        '--volume',
        service.secrets.map(
          (secret) => `${inFolder(secrets[secret]?.file ?? '')}:/run/secrets/${secret}:ro`,
        ),
      ),
      ...each(
        '--volume',
        service.volumes
          .map(mountOf)
          .map(({ source, target, isReadOnly }) =>
            [inFolder(source), target, ...(isReadOnly ? ['ro'] : [])].join(':'),
          ),
      ),
      // Any port on this machine, because the service's own may be in use.
      ...each(
        '--publish',
        service.ports.map((port) => port.replace(/:\d+:/, '::')),
      ),
      ...(program === undefined ? [] : ['--entrypoint', program]),
      service.image,
      ...script,
      ...service.command,
    );
  }

  /** Resolves with a container's exit code and whole output when it has ended. */
  async end(name: string): Promise<Ended> {
    // `podman wait` waits up to a minute for a clean-up; the state "stopped" appears earlier.
    for (;;) {
      const [status, code] = (
        await this.must(
          'podman',
          'inspect',
          '--format',
          '{{.State.Status}} {{.State.ExitCode}}',
          name,
        )
      ).split(' ');
      if (status === 'exited' || status === 'stopped')
        return { code: Number(code), output: await this.must('podman', 'logs', name) };
      await sleep(LOOK_MILLISECONDS);
    }
  }

  /**
   * Sends STOPSIGNAL, waits, and sends SIGKILL if that takes too long; then resolves as `end` does.
   */
  async stop(name: string): Promise<Ended> {
    await this.must('podman', 'stop', name);
    return this.end(name);
  }

  /** Runs the HEALTHCHECK once. */
  async isHealthy(name: string): Promise<boolean> {
    return (await this.run('podman', 'healthcheck', 'run', name)).code === 0;
  }

  /** Ends and removes all containers in the folder. */
  async stopAll(): Promise<void> {
    await this.must('podman', 'rm', '--all', '--force', '--time', '1');
  }

  /** Like `stopAll`, but also removes all volumes and networks. */
  async clear(): Promise<void> {
    await this.stopAll();
    await this.run('podman', 'volume', 'rm', '--all', '--force');
    await this.run('podman', 'network', 'prune', '--force');
  }
}

/** The environment of services: their network, and the folder that their paths are relative to. */
export interface Place {
  readonly network: string;
  readonly folder: string;
}
