import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { documentedSecrets, nodeVariables, task } from '../../fixtures/deploy/skypilot.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { expectSame, readRun } from '../../fixtures/processes/finished-run.ts';
import { freePort } from '../../fixtures/processes/free-ports.ts';
import { QUICK_RECIPE } from '../../fixtures/processes/options.ts';
import { executable, follow, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** Two nodes of a cluster: processes on this machine, each with its own home folder. */
async function makeCluster(options: Readonly<Record<string, string>>) {
  const [secrets, port] = [documentedSecrets(temporaryFolder()), await freePort()];
  const homes = [home(), home()];
  const start = (rank: number): Started => {
    const child = spawn('bash', ['-c', task.run], {
      env: {
        ...process.env,
        ...task.envs,
        ...secrets,
        ...nodeVariables(rank, ['127.0.0.1', '127.0.0.2'], 0),
        HOME: homes[rank],
        MNIST_DIST_PORT: String(port),
        MNIST_DIST_HTTP: 'no',
        MNIST_DIST_PICTURES: 'no',
        // QUICK_RECIPE
        MNIST_DIST_HIDDEN: '8',
        MNIST_DIST_SEED: '7',
        MNIST_DIST_BATCH_SIZE: '64',
        ...options,
      },
      // A process group, because the script starts workers.
      detached: true,
    });
    onTestFinished(() => signalGroup(child.pid, 'SIGKILL'));
    return follow(child);
  };
  return { start, secrets, run: join(homes[0] ?? '', 'runs', 'mnist-1') };
}

/** A home folder in which `setup` has installed mnist-dist. */
function home(): string {
  const folder = temporaryFolder();
  const bin = join(folder, '.mnist-dist', 'bin');
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh\nexec ${process.execPath} ${executable} "$@"\n`;
  writeFileSync(join(bin, 'mnist-dist'), script, { mode: 0o755 });
  return folder;
}

function signalGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (leader !== undefined) process.kill(-leader, signal);
  } catch {
    // The group has ended.
  }
}

interface Running {
  readonly pid: number;
  readonly command: string;
  readonly group: number;
}

/** The processes of a node, with their command lines. */
function processesOf({ process: { pid } }: Started): Running[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): Running[] => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        const command = readFileSync(`/proc/${name}/cmdline`, 'latin1').replaceAll('\0', ' ');
        const group = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]);
        return [{ pid: Number(name), command, group }];
      } catch {
        // It has ended.
        return [];
      }
    })
    .filter(({ group }) => group === pid);
}

it('two nodes of deploy/skypilot train to the bytes of local, and show no secret', async () => {
  const { start, secrets, run } = await makeCluster({
    MNIST_DIST_STEPS: '1000',
    MNIST_DIST_ENGINE: 'wasm',
  });
  const second = start(1);
  const first = start(0);
  await first.says(/w0 delivered its first shard/);
  await first.says(/-\d+ delivered its first shard/);
  const shown = [first, second].flatMap(processesOf).map(({ command }) => command);
  expect(shown.join('\n')).toMatch(/worker --coordinator wss:\/\/127\.0\.0\.1/);
  for (const node of [first, second]) expect(await node.exited, node.output()).toBe(0);
  for (const secret of [secrets['MNIST_DIST_TOKEN'], secrets['CA_KEY']]) {
    expect(secret?.length).toBeGreaterThan(30);
    for (const text of [first.output(), second.output(), ...shown])
      expect(text).not.toContain(secret);
  }
  expect(readdirSync(join(run, '../../.mnist-dist/certs'))).not.toContain('ca.key');
  // The model contains its configuration.
  const length = ['--steps', '1000', '--epochs', task.envs['MNIST_DIST_EPOCHS'] ?? ''];
  const alone = await train([...QUICK_RECIPE, ...length, '--engine', 'wasm', '-n', '1']);
  expectSame(readRun(run), alone);

  const again = start(0);
  expect(await again.exited, again.output()).toBe(0);
  expect(again.output()).toMatch(/is already finished: to start a new one/);
});

it('a node of deploy/skypilot restarts a killed worker; node 0 resumes its run', async () => {
  const { start } = await makeCluster({
    MNIST_DIST_STEPS: '1000000',
    MNIST_DIST_ENGINE: 'reference',
  });
  const [first, second] = [start(0), start(1)];
  await first.says(/-\d+ delivered its first shard/);
  const worker = processesOf(second).find(({ command }) => command.startsWith(process.execPath));
  if (worker === undefined) throw new Error('there is no worker');
  process.kill(worker.pid, 'SIGKILL');
  await second.says(/the worker ended with 137 and starts again/);
  const from = second.output().length;
  await second.says(/connected to wss:/, from);
  // SkyPilot sends SIGTERM to each process of a job.
  first.process.kill('SIGTERM');
  expect(await first.exited, first.output()).toBe(143);
  expect(await second.exited, second.output()).toBe(143);

  const resumed = start(0);
  await resumed.says(/resuming after step \d+/);
  resumed.process.kill('SIGTERM');
  expect(await resumed.exited, resumed.output()).toBe(143);
});
