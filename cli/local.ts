import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { portOf } from '../coordinator/http-server.ts';
import { readRunRecord } from '../coordinator/old-run.ts';
import { newRunId } from '../coordinator/run-directory.ts';
import { errorTable } from '../shared/errors.ts';
import { isLoopback, isWildcard, reachableAt } from '../shared/address.ts';
import { shellPath, shellWord } from '../shared/shell-word.ts';
import { argumentsFor } from './child-arguments.ts';
import { createLogger, type Log } from './log.ts';
import { Member } from './member.ts';
import type { LocalOptions, OptionKey } from './options.ts';
import { stderr } from './output.ts';
import { adoptRun } from './resume.ts';
import { withEngineOfRun } from './run-engine.ts';
import { trainingCertificate, type OwnCertificate } from './tls-files.ts';
import { generateToken, givenToken } from './token.ts';
import { onStop, Stopping } from './supervised.ts';
import { planWorkers, startWorker } from './worker-plan.ts';

/** `mnist-dist local`: starts a coordinator and workers as processes of their own and waits for them. */
export async function local(given: LocalOptions, explicit: ReadonlySet<OptionKey>): Promise<number> {
  const options = await adoptRun(given, explicit);
  const log = createLogger({
    level: options.logLevel,
    format: options.logFormat,
    destination: stderr,
  });
  const certificate = trainingCertificate(options);
  // Named here, so that a coordinator that crashes can be started again with it.
  const runId = options.resume === undefined ? (options.runId ?? newRunId(new Date())) : undefined;
  const directory = options.resume ?? join(options.runsDir, runId ?? '');
  const before = options.resume === undefined ? undefined : await readRunRecord(directory);
  const needed = given.engine === 'auto' ? before?.engine?.description : undefined;
  const plans = await withEngineOfRun(directory, needed, () => planWorkers(options, log));
  const port = await choosePort(options, explicit, log);
  const token = givenToken(options.tokenFile, process.env) ?? generateToken();
  const environment = { ...process.env, MNIST_DIST_TOKEN: token };
  const termBefore = before?.term ?? 0;
  const { httpPort: page, ...rest } = options;
  const run = { ...rest, port, tokenFile: undefined, startWorkers: plans.length };
  const common = { maxRestarts: options.maxRestarts, log };
  // Before the first child exists: a Ctrl-C from here on must end all of them.
  const stopping = new Stopping();
  onStop((code) => stopping.stop(code));
  const coordinator = new Member({
    ...{ ...common, name: 'coordinator', environment, output: 'inherit' },
    codeAtEnd: async () => {
      if (!existsSync(join(directory, 'run.json'))) return undefined;
      const { state, term } = await readRunRecord(directory);
      // A finished run that is prolonged says so until its coordinator has opened it.
      if (state !== 'finished' || term <= termBefore) return undefined;
      if (options.artifacts === undefined) return 0;
      log.error(
        {},
        `whether all of it is in the store nobody knows: mnist-dist push ${shellPath(directory)} ${shellWord(options.artifacts)}`,
      );
      return errorTable.STORE.exit;
    },
    args: (isRestart, pagePort) => {
      // Once it has an address, that stays; before, it takes the default if that is free, or the next one.
      const httpPort = pagePort ?? (explicit.has('httpPort') ? page : undefined);
      const where = httpPort === undefined ? {} : { httpPort };
      // Who died before its first run.json has left nothing to go on with.
      const isBegun = isRestart && existsSync(join(directory, 'run.json'));
      // It goes on with whoever is there, and waits for nobody else.
      const again = { runId: undefined, resume: directory, startWorkers: options.minWorkers };
      return argumentsFor('coordinator', { ...run, ...where, ...(isBegun ? again : { runId }) });
    },
  });
  const url = urlOnThisMachine(certificate, options.host, port);
  const workers = plans.map((plan) =>
    startWorker(plan, { ...options, sslCaCertfile: options.sslCertfile }, url, { ...common, environment }),
  );
  return await supervise(coordinator, workers, stopping, log);
}

/** Where workers of this machine dial: with TLS by a name that the certificate has. */
function urlOnThisMachine(certificate: OwnCertificate | undefined, host: string, port: number): string {
  if (certificate === undefined) return `ws://${reachableAt(host, port)}`;
  const isHere = isWildcard(host) || isLoopback(host);
  const name = (isHere ? certificate.names.find(isLoopback) : undefined) ?? host;
  return `wss://${reachableAt(name, port)}`;
}

/** Ends with the coordinator's exit code; a worker that fails before step 1 ends the run, later the others go on. */
async function supervise(
  coordinator: Member,
  workers: readonly Member[],
  stopping: Stopping,
  log: Log,
): Promise<number> {
  let failure: number | undefined;
  stopping.listen((code) => coordinator.stop(code));
  // Whatever ends this process ends its children.
  process.on('exit', () => [coordinator, ...workers].forEach((child) => child.kill()));
  const alive = new Set(workers);
  for (const worker of workers) {
    void watch(worker);
  }
  async function watch(worker: Member): Promise<void> {
    const code = await worker.ended;
    alive.delete(worker);
    if (coordinator.hasEnded || stopping.code !== undefined || code === 0) return;
    log.warn({ worker: worker.name, code }, `${worker.name} ended with exit code ${code}; its last words:`);
    for (const line of worker.lastLines()) log.warn({ worker: worker.name }, `  ${line}`);
    if (coordinator.started && alive.size > 0) return;
    failure ??= code;
    stopping.stop('RUN_FAILED');
  }
  const code = await coordinator.ended;
  // A coordinator that finished has told its workers; of one that failed they would wait for another.
  if (code !== 0) for (const worker of alive) worker.stop('RUN_FAILED');
  await Promise.all([...alive].map((worker) => worker.end()));
  return failure ?? code;
}

/**
 * The port that a coordinator has, however often it is started: another one when the default is taken; one that was asked for
 * is the coordinator's to bind or to refuse.
 */
async function choosePort(
  { host, port }: LocalOptions,
  explicit: ReadonlySet<OptionKey>,
  log: Log,
): Promise<number> {
  if (port !== 0 && explicit.has('port')) return port;
  if (port !== 0 && (await tryPort(host, port)) !== undefined) return port;
  const free = await tryPort(host, 0);
  if (free === undefined) return port;
  if (port !== 0) log.info({ port: free }, `port ${port} is in use; this run takes ${free}`);
  return free;
}

async function tryPort(host: string, port: number): Promise<number | undefined> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return portOf(server);
  } catch {
    // Taken, or not ours to bind; the coordinator says which when it tries.
    return undefined;
  } finally {
    server.close();
  }
}
