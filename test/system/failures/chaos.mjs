// `npm run chaos`: one undisturbed run, then the same run while workers and coordinators are
// killed, which must end with the same bytes. It fails if fewer processes than requested died
// between the first and the last step. `--stall` instead kills one worker, stops another for a
// while, and reports the longest step. Arguments after `--` go to `local`.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { explain, prepare, root } from '../../../bin/bootstrap.mjs';

const executable = join(root, 'bin', 'mnist-dist.mjs');
const LOOK_MILLISECONDS = 50;
/** Limits for a run with a stopped worker and a new worker. */
const MAX_STEP_MILLISECONDS = 1000;
const MAX_JOIN_MILLISECONDS = 2000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '60000' },
    seed: { type: 'string', default: '7' },
    workers: { type: 'string', default: '3' },
    engine: { type: 'string', default: 'auto' },
    'worker-kills': { type: 'string', default: '20' },
    'coordinator-kills': { type: 'string', default: '5' },
    /**
     * Seconds between two kills of workers, and between a term's first step and its coordinator's
     * kill.
     */
    every: { type: 'string', default: '2' },
    'coordinator-after': { type: 'string', default: '5' },
    stall: { type: 'boolean', default: false },
    /** How long a worker is stopped, in seconds. */
    'stop-for': { type: 'string', default: '6' },
  },
});
const workerKills = number('worker-kills');
const coordinatorKills = number('coordinator-kills');
const runs = mkdtempSync(join(tmpdir(), 'mnist-dist-chaos-'));
const token = createHash('sha256').update(runs).digest('hex');
/** Every process that was started here. All of them end when this process ends. */
const started = new Set();
const failures = [];

process.on('exit', () => {
  started.forEach((child) => child.kill('SIGKILL'));
  rmSync(runs, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
process.exitCode = await prepare().then(main, explain);

async function main() {
  const undisturbed = readRun(await finish(startLocal('undisturbed')));
  say(`undisturbed: ${undisturbed.sha256}, ${speedOf(undisturbed)} steps/s`);
  const local = startLocal('disturbed');
  const disturbing = values.stall ? stall(local) : kill(local);
  const [directory, deaths] = await Promise.all([finish(local), disturbing]);
  const disturbed = readRun(directory);
  compare(undisturbed, disturbed);
  if (values.stall) reportStall(disturbed);
  else reportKills(disturbed, deaths);
  await verify(directory);
  for (const failure of failures) say(`FAILED: ${failure}`);
  return failures.length === 0 ? 0 : 1;
}

// --- disturbances

/** Kills processes until enough have died; resolves with the kills when the run has ended. */
async function kill(local) {
  const kills = [];
  const next = { worker: undefined, coordinator: undefined };
  let term = 0;
  while (local.isRunning) {
    const now = Date.now();
    const events = readEvents(local.directory);
    const begun = begunTerms(events).at(-1) ?? 0;
    if (begun > 0) next.worker ??= now;
    if (begun > term) {
      term = begun;
      next.coordinator = now + 1000 * number('coordinator-after');
    }
    if (now >= next.worker && deathsOfWorkers(events, kills).length < workerKills) {
      next.worker = now + 1000 * number('every');
      killOne(local, workersOf(local), kills);
    }
    // After its coordinator was killed, a term has no coordinator until the next term begins.
    if (now >= next.coordinator && term <= coordinatorKills) {
      next.coordinator = undefined;
      killOne(local, childrenOf(local.pid).filter(isCoordinator), kills);
    }
    await sleep(LOOK_MILLISECONDS);
  }
  return kills;
}

function killOne(local, children, kills) {
  const victim = children[Math.floor(Math.random() * children.length)];
  if (victim === undefined) return;
  process.kill(victim.pid, 'SIGKILL');
  kills.push({ name: victim.name, at: Date.now() });
}

/** Kills one worker; once it is back, stops and continues another; then adds a new one. */
async function stall(local) {
  const happened = (event, worker, times) =>
    until(
      local,
      () =>
        readEvents(local.directory).filter((each) => each.event === event && each.worker === worker)
          .length >= times,
    );
  await happened('first_shard', 'w2', 1);
  await happened('first_shard', 'w1', 1);
  process.kill(workerOf(local, 'w2').pid, 'SIGKILL');
  await happened('ready', 'w2', 2);
  const stopped = workerOf(local, 'w1');
  process.kill(stopped.pid, 'SIGSTOP');
  // The pause is the disturbance itself. It does not wait for an event.
  await sleep(1000 * number('stop-for'));
  if (!local.isRunning) throw tooShort(local);
  process.kill(stopped.pid, 'SIGCONT');
  const coordinator = childrenOf(local.pid).find(isCoordinator);
  const port = coordinator.args.find((arg) => arg.startsWith('--port='))?.slice('--port='.length);
  startProcess([
    'worker',
    '--name',
    'new',
    '--engine',
    values.engine,
    '--coordinator',
    `ws://127.0.0.1:${port}`,
  ]);
  await happened('first_shard', 'new', 1);
  return [];
}

// --- results

function compare(undisturbed, disturbed) {
  check(undisturbed.sha256 === disturbed.sha256, `the model differs: ${disturbed.sha256}`);
  check(
    undisturbed.record.chain === disturbed.record.chain,
    `the chain differs: ${disturbed.record.chain}`,
  );
  say(`disturbed:   ${disturbed.sha256}, ${speedOf(disturbed)} steps/s`);
}

function reportKills({ events, steps }, kills) {
  const workers = deathsOfWorkers(events, kills).length;
  // Each coordinator was killed after the first step of its term, and another one continued the
  // run.
  const coordinators = begunTerms(events).length - 1;
  say(`died between the first and the last step: ${workers} workers, ${coordinators} coordinators`);
  const short = 'the run was too short (--steps)';
  check(workers >= workerKills, `${workers} of ${workerKills} workers died: ${short}`);
  check(
    coordinators >= coordinatorKills,
    `${coordinators} of ${coordinatorKills} coordinators died: ${short}`,
  );
  // While no worker is present, the open step is the one after the last completed step.
  const waited = new Set(
    events.filter(({ event }) => event === 'waiting').map(({ step }) => step + 1),
  );
  const attended = steps.filter(({ step }) => !waited.has(step));
  say(
    `longest step: ${longest(attended)} ms; ` +
      `including waits while no worker was running: ${longest(steps)} ms`,
  );
  const { time: begun } = events.find(({ event }) => event === 'step');
  for (const { worker, milliseconds, until: what } of joins(
    events.filter(({ time }) => time > begun),
  ))
    say(`  ${worker}: hello to ${what} ${milliseconds} ms`);
}

function reportStall({ events, steps }) {
  const step = longest(steps);
  say(
    `longest step: ${step} ms ` +
      `(less than ${MAX_STEP_MILLISECONDS}: ${step < MAX_STEP_MILLISECONDS ? 'yes' : 'NO'})`,
  );
  const { milliseconds } =
    joins(events).find(({ worker, until: what }) => worker === 'new' && what === 'first_shard') ??
    {};
  const isQuick = milliseconds < MAX_JOIN_MILLISECONDS;
  say(
    `a new worker, hello to first_shard: ${milliseconds} ms ` +
      `(less than ${MAX_JOIN_MILLISECONDS}: ${isQuick ? 'yes' : 'NO'})`,
  );
}

/**
 * The `lost` events between the first and the last step that are due to kills. Each kill accounts
 * for at most one event.
 */
function deathsOfWorkers(events, kills) {
  const steps = events.filter(({ event }) => event === 'step').map(({ time }) => time);
  const last = events.some(({ event }) => event === 'end') ? steps.at(-1) : Infinity;
  const left = kills.filter(({ name }) => name !== 'coordinator');
  return events.filter(({ event, worker, time }) => {
    if (event !== 'lost' || time < steps[0] || time > last) return false;
    const which = left.findIndex(({ name, at }) => name === worker && at <= time);
    if (which < 0) return false;
    left.splice(which, 1);
    return true;
  });
}

/**
 * The time from each hello to the worker's next first_shard or, if there is none, to its next
 * ready.
 */
function joins(events) {
  return events.flatMap(({ event, worker, time }, i) => {
    if (event !== 'hello') return [];
    const rest = events.slice(i + 1);
    const end = rest.findIndex(
      (each) => each.event === 'start' || (each.event === 'hello' && each.worker === worker),
    );
    const own = (end < 0 ? rest : rest.slice(0, end)).filter((each) => each.worker === worker);
    const what =
      own.find((each) => each.event === 'first_shard') ??
      own.find((each) => each.event === 'ready');
    return what === undefined
      ? []
      : [{ worker, until: what.event, milliseconds: what.time - time }];
  });
}

/** Runs `mnist-dist verify`, which recomputes the run. */
async function verify(directory) {
  const child = startProcess(['verify', directory, '-n', values.workers]);
  const code = await child.exited;
  if (/unknown command "?verify/.test(child.output()))
    return say('not verified: this mnist-dist has no command verify');
  say(child.output().trim());
  check(code === 0, `mnist-dist verify ended with exit code ${code}`);
}

// --- runs

function startLocal(id) {
  const directory = join(runs, id);
  const options = {
    '-n': values.workers,
    '--steps': values.steps,
    '--seed': values.seed,
    '--engine': values.engine,
    '--checkpoint-every': '1s',
    '--port': '0',
    '--runs-dir': runs,
    '--run-id': id,
  };
  const local = startProcess(['local', ...Object.entries(options).flat(), ...positionals]);
  return Object.assign(local, { directory });
}

async function finish(local) {
  const code = await local.exited;
  if (code !== 0) throw new Error(`local ended with exit code ${code}:\n${local.output()}`);
  return local.directory;
}

function startProcess(args) {
  const child = spawn(process.execPath, [executable, ...args], {
    env: { ...process.env, MNIST_DIST_TOKEN: token },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => (output += text));
  const exited = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      started.delete(child);
      resolve(code ?? signal);
    });
  });
  return {
    exited,
    pid: child.pid,
    output: () => output,
    get isRunning() {
      return started.has(child);
    },
  };
}

function readRun(directory) {
  const read = (name) => readFileSync(join(directory, name));
  const lines = read('metrics.jsonl')
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  return {
    record: JSON.parse(read('run.json')),
    steps: lines.filter(({ kind }) => kind === 'step'),
    events: readEvents(directory),
    sha256: createHash('sha256').update(read('model.safetensors')).digest('hex'),
  };
}

/** The complete lines so far, with times in milliseconds. */
function readEvents(directory) {
  let text = '';
  try {
    text = readFileSync(join(directory, 'events.jsonl'), 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean);
  return lines
    .map((line) => JSON.parse(line))
    .map((line) => ({ ...line, time: Date.parse(line.time) }));
}

/** The terms in which a step was completed. */
function begunTerms(events) {
  const begun = new Set();
  let term = 0;
  for (const line of events) {
    if (line.event === 'start') ({ term } = line);
    if (line.event === 'step') begun.add(term);
  }
  return [...begun];
}

function speedOf({ events, steps }) {
  const times = events.filter(({ event }) => event === 'step').map(({ time }) => time);
  return Math.round((1000 * steps.length) / Math.max(1, times.at(-1) - times[0]));
}

function longest(steps) {
  return steps.reduce((most, { milliseconds }) => Math.max(most, milliseconds), 0);
}

// --- processes

function childrenOf(pid) {
  const read = (path) => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      // The process has ended in the meantime.
      return '';
    }
  };
  const pids = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return pids.map((child) => {
    const args = read(`/proc/${child}/cmdline`).split('\0');
    const name = args.find((arg) => arg.startsWith('--name='))?.slice('--name='.length);
    return { pid: child, args, name: args.includes('coordinator') ? 'coordinator' : name };
  });
}

function isCoordinator({ name }) {
  return name === 'coordinator';
}

function workersOf(local) {
  return childrenOf(local.pid).filter(({ name }) => name !== undefined && name !== 'coordinator');
}

function workerOf(local, name) {
  const worker = workersOf(local).find((each) => each.name === name);
  if (worker === undefined) throw new Error(`local has no ${name}`);
  return worker;
}

// --- helpers

async function until(local, look) {
  while (!look()) {
    if (!local.isRunning) throw tooShort(local);
    await sleep(LOOK_MILLISECONDS);
  }
}

function tooShort(local) {
  return new Error(`the run was too short (--steps):\n${local.output()}`);
}

function number(option) {
  const value = Number(values[option]);
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${option} takes a number`);
  return value;
}

function check(holds, failure) {
  if (!holds) failures.push(failure);
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
