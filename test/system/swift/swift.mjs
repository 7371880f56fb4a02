// An S3 server that checks signatures: OpenStack Swift with s3api from Debian's packages, five
// processes on loopback. Run by hand, `node test/system/swift/swift.mjs` prints which variables to
// set, and ends the server on Ctrl-C. Run as a child, it prints one line of JSON when all processes
// respond, and ends them when its standard input ends. `--data DIR` keeps the stored data in DIR,
// and `--port N` sets the port of the server.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePorts, startDaemon } from '../../fixtures/processes/daemons.mjs';

const START_MILLISECONDS = 60_000;
const { values } = parseArgs({ options: { data: { type: 'string' }, port: { type: 'string' } } });
const folder = mkdtempSync(join(tmpdir(), 'mnist-dist-swift-'));
const data = values.data ?? join(folder, 'data');
// If it is started as root, Swift runs as this user, who must then own the data.
const user = userInfo().uid === 0 ? 'swift' : userInfo().username;
const children = [];
let isOver = false;
await main();

async function main() {
  const stopped = stopAsked();
  try {
    const [proxy, memcached, ...storage] = await freePorts(5);
    const port = values.port === undefined ? proxy : Number(values.port);
    configure(port, memcached, storage);
    start('memcached', ['-l', '127.0.0.1', '-p', String(memcached), '-m', '16', '-u', user]);
    for (const name of ['account', 'container', 'object']) server(name);
    const first = server('proxy');
    await Promise.all([port, memcached, ...storage].map(answers));
    announce({
      pid: first.pid,
      environment: {
        AWS_ENDPOINT_URL: `http://127.0.0.1:${port}`,
        AWS_ACCESS_KEY_ID: 'mnist:dist',
        AWS_SECRET_ACCESS_KEY: 'testing',
        AWS_REGION: 'us-east-1',
      },
    });
    await stopped;
  } finally {
    isOver = true;
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(
      children
        .filter((child) => (child.exitCode ?? child.signalCode) === null)
        .map((child) => once(child, 'close')),
    );
    rmSync(folder, { recursive: true, force: true });
  }
}

function configure(port, memcached, storage) {
  chmodSync(folder, 0o755);
  const devices = join(data, 'devices');
  mkdirSync(join(devices, 'd1'), { recursive: true });
  if (user === 'swift') run('chown', ['-R', 'swift', data]);
  for (const [i, name] of ['account', 'container', 'object'].entries()) {
    config(name, [
      '[DEFAULT]',
      'bind_ip = 127.0.0.1',
      `bind_port = ${storage[i]}`,
      `user = ${user}`,
      `swift_dir = ${folder}`,
      `devices = ${devices}`,
      'mount_check = false',
      'workers = 0',
      // Without this, Swift would consider a small machine's disk full too early.
      'fallocate_reserve = 0',
      '[pipeline:main]',
      `pipeline = ${name}-server`,
      `[app:${name}-server]`,
      `use = egg:swift#${name}`,
    ]);
    const ring = join(folder, `${name}.builder`);
    run('swift-ring-builder', [ring, 'create', '4', '1', '1']);
    run('swift-ring-builder', [ring, 'add', `r1z1-127.0.0.1:${storage[i]}/d1`, '1']);
    run('swift-ring-builder', [ring, 'rebalance']);
  }
  config('proxy', [
    '[DEFAULT]',
    'bind_ip = 127.0.0.1',
    `bind_port = ${port}`,
    `user = ${user}`,
    `swift_dir = ${folder}`,
    'workers = 0',
    '[pipeline:main]',
    'pipeline = catch_errors proxy-logging cache listing_formats bulk s3api tempauth copy slo ' +
      'dlo proxy-logging proxy-server',
    '[app:proxy-server]',
    'use = egg:swift#proxy',
    'allow_account_management = true',
    'account_autocreate = true',
    '[filter:s3api]',
    'use = egg:swift#s3api',
    'location = us-east-1',
    'check_bucket_owner = false',
    '[filter:tempauth]',
    'use = egg:swift#tempauth',
    'user_mnist_dist = testing .admin',
    '[filter:cache]',
    'use = egg:swift#memcache',
    `memcache_servers = 127.0.0.1:${memcached}`,
    ...['catch_errors', 'proxy-logging', 'listing_formats', 'bulk', 'copy', 'slo', 'dlo'].flatMap(
      (name) => [`[filter:${name}]`, `use = egg:swift#${name.replace('-', '_')}`],
    ),
  ]);
}

function config(name, lines) {
  writeFileSync(join(folder, `${name}.conf`), `${lines.join('\n')}\n`);
}

function server(name) {
  return start(`swift-${name}-server`, [join(folder, `${name}.conf`)]);
}

function start(program, args) {
  const child = startDaemon(program, args, fail);
  children.push(child);
  return child;
}

/** If one process ends, on its own or because of a test, all of them end. */
function fail(why) {
  if (isOver) return;
  process.stderr.write(`${why}\n`);
  process.exitCode = 1;
  process.emit('SIGTERM');
}

function run(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  // swift-ring-builder exits with 1 after a warning: a ring this small is not balanced.
  if (error !== undefined || status > 1)
    throw new Error(`${program} ${args.join(' ')}: ${error ?? stdout + stderr}`);
}

async function answers(port) {
  const until = Date.now() + START_MILLISECONDS;
  while (Date.now() < until && !isOver) {
    const socket = connect(port, '127.0.0.1');
    const isThere = await Promise.race([once(socket, 'connect'), once(socket, 'error')]).then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (isThere) return;
    await sleep(50);
  }
  throw new Error(`nothing responds on port ${port}`);
}

function announce(ready) {
  if (!process.stdin.isTTY) process.stdout.write(`${JSON.stringify(ready)}\n`);
  else {
    for (const [name, value] of Object.entries(ready.environment))
      process.stdout.write(`export ${name}=${value}\n`);
  }
}

function stopAsked() {
  if (!process.stdin.isTTY) process.stdin.resume();
  return Promise.race([
    once(process, 'SIGINT'),
    once(process, 'SIGTERM'),
    ...(process.stdin.isTTY ? [] : [once(process.stdin, 'end')]),
  ]);
}
