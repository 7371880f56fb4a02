// A Slurm cluster from Debian's packages: munged, slurmctld and four slurmd on loopback, each with
// four cores and a "GPU". Run by hand, `node test/system/slurm/slurm.mjs` prints which variables to
// set, and ends the cluster on Ctrl-C. Run as a child, it prints one line of JSON when all nodes
// are idle, and ends when its standard input ends. The whole cluster, including its jobs, runs in a
// process namespace that ends with this process, so nothing is left behind, however it ends.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { freePorts, startDaemon } from '../../fixtures/processes/daemons.mjs';

const START_MILLISECONDS = 60_000;
const LOOK_MILLISECONDS = 50;
const NODES = ['n1', 'n2', 'n3', 'n4'];
const [place] = process.argv.slice(2);
if (place === undefined) await outside();
else await inside(place);

/** Starts itself again in a namespace, whose first process, a shell, reaps orphans. */
async function outside() {
  const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-slurm-'));
  try {
    const init = 'exec 3<&0; "$@" <&3 & wait $!';
    const script = [process.execPath, fileURLToPath(import.meta.url), folder];
    const child = spawn(
      'unshare',
      ['--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', init, 'sh', ...script],
      {
        stdio: ['pipe', 'inherit', 'inherit'],
      },
    );
    process.stdin.on('end', () => child.kill('SIGKILL')).resume();
    for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill('SIGKILL'));
    const [code] = await once(child, 'close');
    process.exitCode = code ?? 0;
  } finally {
    process.stdin.pause();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function inside(folder) {
  // The parent has ended when the standard input ends.
  process.stdin.on('end', () => process.exit()).resume();
  const configuration = join(folder, 'slurm.conf');
  process.env.SLURM_CONF = configuration;
  await configure(folder, configuration);
  const socket = startMunge(folder);
  await until(`munged`, () => spawnSync('munge', ['-n', '-S', socket]).status === 0);
  start('slurmctld', ['-D', '-c', '-i', '-f', configuration]);
  for (const node of NODES) start('slurmd', ['-D', '-N', node, '-f', configuration]);
  await until('the nodes', () => {
    const { stdout } = spawnSync('sinfo', ['-h', '-N', '-p', 'low', '-o', '%N %T'], {
      encoding: 'utf8',
    });
    return stdout === NODES.map((node) => `${node} idle\n`).join('');
  });
  process.stdout.write(`${JSON.stringify({ SLURM_CONF: configuration })}\n`);
}

/** munged refuses a socket or a key in a folder that other users may change. */
function startMunge(folder) {
  const munge = join(folder, 'munge');
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number(spawnSync('id', [flag, 'munge'], { encoding: 'utf8' }).stdout),
  );
  mkdirSync(munge, { mode: 0o755 });
  const key = join(munge, 'key');
  writeFileSync(key, randomBytes(128), { mode: 0o600 });
  for (const path of [munge, key]) chownSync(path, uid, gid);
  const files = ['socket', 'pid-file', 'log-file', 'seed-file'].map(
    (name) => `--${name}=${join(munge, name)}`,
  );
  start('munged', ['--foreground', `--key-file=${key}`, ...files], { uid, gid });
  return join(munge, 'socket');
}

async function configure(folder, file) {
  chmodSync(folder, 0o755);
  for (const name of ['state', 'spool']) mkdirSync(join(folder, name));
  const [control, ...ports] = await freePorts(1 + NODES.length);
  const host = hostname();
  const settings = {
    ClusterName: 'test',
    SlurmctldHost: `${host}(127.0.0.1)`,
    SlurmctldPort: control,
    SlurmUser: 'root',
    SlurmdUser: 'root',
    AuthType: 'auth/munge',
    CredType: 'cred/munge',
    // A requeued job waits at least `cred_expire` seconds.
    AuthInfo: `socket=${join(folder, 'munge', 'socket')},cred_expire=5`,
    StateSaveLocation: join(folder, 'state'),
    SlurmdSpoolDir: join(folder, 'spool', '%n'),
    SlurmctldPidFile: join(folder, 'slurmctld.pid'),
    SlurmdPidFile: join(folder, '%n.pid'),
    SlurmctldLogFile: join(folder, 'slurmctld.log'),
    SlurmdLogFile: join(folder, '%n.log'),
    ProctrackType: 'proctrack/linuxproc',
    TaskPlugin: 'task/none',
    MpiDefault: 'none',
    SelectType: 'select/cons_tres',
    SelectTypeParameters: 'CR_Core',
    PropagateResourceLimits: 'NONE',
    ReturnToService: 2,
    CommunicationParameters: 'NoInAddrAny,NoCtldInAddrAny',
    SchedulerParameters: 'bf_interval=1,bf_resolution=1,sched_interval=1',
    AccountingStorageType: 'accounting_storage/none',
    JobAcctGatherType: 'jobacct_gather/none',
    JobCompType: 'jobcomp/none',
    SlurmdParameters: 'config_overrides',
    GresTypes: 'gpu',
    // Jobs in the partition "high" preempt those in "low", which are then requeued. The rest are
    // settings that a site may have and that must not affect our scripts.
    KillOnBadExit: 1,
    WaitTime: 1,
    PreemptType: 'preempt/partition_prio',
    PreemptMode: 'REQUEUE',
    KillWait: 30,
  };
  const machine = 'CPUs=4 RealMemory=4000 Gres=gpu:test:1';
  const lines = [
    ...Object.entries(settings).map(([key, value]) => `${key}=${value}`),
    ...NODES.map(
      (node, i) =>
        `NodeName=${node} NodeHostname=${host} NodeAddr=127.0.0.1 Port=${ports[i]} ${machine}`,
    ),
    'PartitionName=low Nodes=ALL Default=YES PriorityTier=1 GraceTime=0',
    'PartitionName=graceful Nodes=ALL PriorityTier=1 GraceTime=60',
    'PartitionName=high Nodes=ALL PriorityTier=2 PreemptMode=OFF',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  writeFileSync(join(folder, 'gres.conf'), 'NodeName=n[1-4] Name=gpu Type=test File=/dev/null\n');
}

/** If one process ends, all of them end. */
function start(program, args, identity) {
  startDaemon(program, args, fail, identity);
}

function fail(why) {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

async function until(what, isReady) {
  const signal = AbortSignal.timeout(START_MILLISECONDS);
  while (!isReady()) {
    await sleep(LOOK_MILLISECONDS, undefined, { signal }).catch(() =>
      fail(`${what} did not get ready`),
    );
  }
}
