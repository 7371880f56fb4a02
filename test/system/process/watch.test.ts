import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunView, Update } from '../../../dashboards/feed/api.ts';
import { readModel } from '../../../shared/files/model-file.ts';
import { errorTable } from '../../../shared/errors.ts';
import { listening } from '../../fixtures/listening.ts';
import { ask, follow } from '../../fixtures/page-client.ts';
import { childOf } from '../../fixtures/processes/children.ts';
import { startCoordinator, startWorker } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { newRun, QUICK_RECIPE, quickLocal, TOKEN } from '../../fixtures/processes/options.ts';
import { run, start, until, type Started } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const ANY_PAGE = ['--http-port', '0'];
/** Checkpoints so frequent that a killed coordinator loses few steps. */
const OFTEN = ['--checkpoint-every', '50'];
const LINGER = ['--http-linger', '1h'];
/** Options for a coordinator whose page waits for one more scrape after the last step. */
const lingering = (steps: number) => [
  ...QUICK_RECIPE,
  ...ANY_PAGE,
  ...LINGER,
  // Shared memory is not network traffic.
  '--no-shared-memory',
  '--steps',
  String(steps),
];

async function pageOf(process: Started): Promise<number> {
  const [, port] = await process.says(/watch it at http:\/\/127\.0\.0\.1:(\d+)\//);
  return Number(port);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening').catch(() => undefined);
  const isListening = server.listening;
  server.close();
  return isListening;
}

async function viewOf(port: number): Promise<RunView> {
  return JSON.parse((await ask(port, '/api/run')).body.toString());
}

/** Reads updates until one matches. Throws if the stream ends first. */
async function seek(
  events: AsyncGenerator<Update>,
  isWanted: (update: Update) => boolean,
): Promise<Update> {
  for (;;) {
    const { value, done } = await events.next();
    if (done === true) throw new Error('the stream has ended');
    if (isWanted(value)) return value;
  }
}

const stateOf = (update: Update, name: string) =>
  update.status?.workers.find((worker) => worker.name === name)?.state;

describe('the live page of a run', () => {
  it('shows a killed worker and its recovery, and keeps its address after a crash', async () => {
    const runs = temporaryFolder();
    const options = [...ANY_PAGE, ...OFTEN, ...LINGER, '-n', '2', '--steps', '12000'];
    const local = start([...quickLocal(runs), ...options]);
    const port = await pageOf(local);
    const { events } = await follow(port);
    await seek(events, (update) => (update.curve?.length ?? 0) > 0);
    process.kill(childOf(local, 'w1'), 'SIGKILL');
    await seek(events, (update) => stateOf(update, 'w1') === 'lost');
    await seek(events, (update) => stateOf(update, 'w1') === 'training');
    const before = await viewOf(port);
    expect(before.changes.map(({ worker, state }) => `${worker} ${state}`)).toContain('w1 lost');

    process.kill(childOf(local, 'coordinator'), 'SIGKILL');
    // Earlier updates arrive first. Then the connection closes, cleanly or not.
    await seek(events, () => false).catch(() => undefined);
    await local.says(/resuming after step \d+ \(term 2\)/);
    const view = await until(async () => {
      const answer = await ask(port, '/api/run').catch(() => undefined);
      if (answer?.status !== 200) return undefined;
      const seen: RunView = JSON.parse(answer.body.toString());
      // During training, the page reads the lines from before the crash. At most one second of them
      // is lost.
      return seen.curve.length > 50 && (seen.curve[0]?.[0] ?? 0) < 50 ? seen : undefined;
    }, local);
    expect(view.term).toBe(2);
    expect(view.events.map(({ message }) => message).join('\n')).toMatch(/w1 left: /);

    const again = await follow(port);
    await seek(again.events, ({ status }) => status?.state === 'finished');
    const end = await viewOf(port);
    expect(end.evaluated?.confusion.flat().reduce((sum, count) => sum + count, 0)).toBe(10_000);
    expect(end.evaluated?.mistakes.length).toBeGreaterThan(0);
    const weights = await ask(port, '/api/weights');
    expect(weights.headers['x-step']).toBe('12000');
    await ask(port, '/metrics');
    expect(await local.exited, local.output()).toBe(0);
    expect(readRun(join(runs, 'r')).record.step).toBe(12_000);
  });

  it('waits for one more scrape at the end, but no longer', async () => {
    const { process: coordinator, url } = await startCoordinator(lingering(50));
    const port = await pageOf(coordinator);
    const worker = startWorker(url);
    await coordinator.says(/Test accuracy/);
    const scrape = (await ask(port, '/metrics')).body.toString();
    expect(scrape).toMatch(/^mnist_dist_training_running\{run_id="r"\} 0$/m);
    expect(scrape).toMatch(/^mnist_dist_train_step\{run_id="r"\} 50$/m);
    // This is more than ten times the size of the weights: traffic of closed connections still
    // counts.
    const [, sent] = /^mnist_dist_network_sent_bytes_total\{.*\} (\d+)$/m.exec(scrape) ?? [];
    expect(Number(sent)).toBeGreaterThan(10 * 4 * 6370);
    expect(await coordinator.exited).toBe(0);
    expect(await worker.exited).toBe(0);
  });

  it('shows a failed run after another coordinator took it over', async () => {
    const options = [...lingering(200_000), ...OFTEN];
    const { process: first, url, runs } = await startCoordinator(options);
    const port = await pageOf(first);
    const worker = startWorker(url);
    const { events } = await follow(port);
    await seek(events, (update) => (update.status?.step ?? 0) > 100);
    // A coordinator on another host does the same.
    const owner: unknown = JSON.parse(
      readFileSync(join(runs, 'r', '.drafts-1', 'owner.json'), 'utf8'),
    );
    mkdirSync(join(runs, 'r', '.drafts-2'));
    writeFileSync(join(runs, 'r', '.drafts-2', 'owner.json'), JSON.stringify(owner));
    const end = await seek(events, ({ status }) => status?.state === 'failed');
    expect(end.status?.message).toMatch(/was taken over by another coordinator/);
    const scrape = (await ask(port, '/metrics')).body.toString();
    expect(scrape).toMatch(/^mnist_dist_training_running\{run_id="r"\} 0$/m);
    expect(await first.exited, first.output()).toBe(errorTable.LOCKED.exit);
    worker.process.kill('SIGINT');
    await worker.exited;
  });

  it('stops waiting for a scrape on Ctrl-C', async () => {
    const { process: coordinator, url } = await startCoordinator(lingering(50));
    const worker = startWorker(url);
    await coordinator.says(/waiting at most 3600 s for one more scrape/);
    expect(await worker.exited).toBe(0);
    coordinator.process.kill('SIGINT');
    expect(await coordinator.exited).toBe(0);
  });

  it('can be served again by `show` after the run', async () => {
    const runs = temporaryFolder();
    const trained = await run([...quickLocal(runs), ...ANY_PAGE, '--steps', '60']);
    expect(trained.code, trained.output).toBe(0);
    const shown = start(['show', join(runs, 'r'), '--http-port', '0']);
    const [, port] = await shown.says(/is at http:\/\/127\.0\.0\.1:(\d+)\//);
    const view = await viewOf(Number(port));
    expect(view).toMatchObject({
      run: 'r',
      isLive: false,
      status: { state: 'finished', step: 60 },
    });
    expect(view.curve).toHaveLength(60);
    expect(view.evaluated?.mistakes[0]?.pixels.length).toBeGreaterThan(0);
    const weights = await ask(Number(port), '/api/weights');
    const model = readFileSync(join(runs, 'r', 'model.safetensors'));
    const { weights: expected } = readModel(model, 'model');
    expect(weights.body.equals(Buffer.from(expected.buffer))).toBe(true);
    expect(await ask(Number(port), '/metrics')).toMatchObject({ status: 404 });
    shown.process.kill('SIGINT');
    expect(await shown.exited).toBe(errorTable.INTERRUPTED.exit);
  });
});

describe('the address of the page', () => {
  it('changes with a warning if another process has taken the port in the meantime', async () => {
    const runs = temporaryFolder();
    const taker = createServer();
    onTestFinished(() => void taker.close());
    const local = start([...quickLocal(runs), ...ANY_PAGE, ...OFTEN, '--steps', '4000']);
    const port = await pageOf(local);
    const { events } = await follow(port);
    await seek(events, (update) => (update.status?.step ?? 0) > 100);
    process.kill(childOf(local, 'coordinator'), 'SIGKILL');
    await until(async () => {
      taker.listen(port, '127.0.0.1');
      await once(taker, 'listening').catch(() => undefined);
      return taker.listening || undefined;
    }, local);
    const [, now] = await local.says(
      /live page's port \d+ is in use; the page is now at http:\/\/127\.0\.0\.1:(\d+)\//,
    );
    expect(Number(now)).not.toBe(port);
    expect(await local.exited, local.output()).toBe(0);
  });

  it("differs from the workers' address, even if that is the page's default", async () => {
    const { process: coordinator } = await startCoordinator([...QUICK_RECIPE, '--steps', '50']);
    let port = (await pageOf(coordinator)) + 1;
    while (!(await isFree(port))) port += 1;
    // This is the page's default port, so the page moves to another one.
    const other = start(
      ['coordinator', '--port', String(port), '--runs-dir', temporaryFolder(), ...QUICK_RECIPE],
      { MNIST_DIST_TOKEN: TOKEN },
    );
    expect(await pageOf(other)).toBeGreaterThan(port);
    for (const { process: child, exited } of [coordinator, other]) {
      child.kill('SIGINT');
      await exited;
    }
  });

  it('causes an error if it was given and is in use', async () => {
    const port = String(await listening(createServer()));
    const runs = temporaryFolder();
    const config = join(runs, 'config.yaml');
    writeFileSync(config, `http-port: ${port}\n`);
    const finished = [...quickLocal(runs), '--steps', '20'];
    expect((await run([...finished, '--no-http'])).code).toBe(0);
    for (const args of [
      [...quickLocal(temporaryFolder()), '--http-port', port],
      ['coordinator', ...newRun(temporaryFolder()), '--config', config],
      ['show', join(runs, 'r'), '--http-port', port],
    ]) {
      const { code, output } = await run(args, { MNIST_DIST_TOKEN: TOKEN });
      expect(output).toContain(`port ${port} on 127.0.0.1 is in use (--http-port)`);
      expect(code).toBe(errorTable.ADDRESS.exit);
    }
  });

  it('that other machines can reach needs --insecure', async () => {
    const { code, output } = await run(['coordinator', '--http-host', '0.0.0.0']);
    expect(code).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(
      /--http-host 0\.0\.0\.0 is not allowed \(reachable from other machines without TLS\)/,
    );
  });

  it('does not exist with --no-http', async () => {
    const runs = temporaryFolder();
    const { code, output } = await run([...quickLocal(runs), '--steps', '20', '--no-http']);
    expect(code).toBe(0);
    expect(output).not.toContain('http://');
  });
});
