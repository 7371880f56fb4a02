import { cpSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { Chain, firstLink } from '../../../shared/files/chain.ts';
import { configurationOfRecord } from '../../../shared/configuration.ts';
import { errorTable } from '../../../shared/errors.ts';
import { MetricsFormatter } from '../../../shared/files/metrics.ts';
import { tinyFiles } from '../../fixtures/dataset/tiny-dataset.ts';
import { interrupt } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { quickLocal } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const SHORT = 150;
const STEPS = 400;
const ENDLESS = ['--steps', '100000'];

/** Runs that several tests read but do not change. */
const shared = temporaryFolder(afterAll);
const finished = join(shared, 'finished');

/** Copies the run, so that a test may change its files. */
function copyOf(directory: string): string {
  const copy = join(temporaryFolder(), 'r');
  cpSync(directory, copy, { recursive: true });
  return copy;
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  const at = bytes.length - 100;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

describe('verify', () => {
  it('needs a fixture run that was extended', async () => {
    const first = await run([...quickLocal(shared, 'finished'), '--steps', String(SHORT)]);
    expect(first.code, first.output).toBe(0);
    const resume = ['local', '--resume', finished, '--engine', 'reference', '--port', '0'];
    const second = await run([...resume, '--steps', String(STEPS)]);
    expect(second.code, second.output).toBe(0);
  });

  it('verifies an extended run with a different number of workers', async () => {
    const { code, output } = await run(['verify', finished, '-n', '3']);
    expect(code, output).toBe(0);
    const { record } = readRun(finished);
    expect(output).toMatch(
      /verified 400 steps, 2 evaluations, 2 checkpoints and the model of \S+finished, on 3 workers/,
    );
    expect(output).toContain(`same chain ${record.chain}`);
  });

  it('verifies the newest run by default, and can log JSON', async () => {
    const { code, output } = await run([
      'verify',
      '--runs-dir',
      shared,
      '-n',
      '1',
      '--log-format',
      'json',
    ]);
    expect(code, output).toBe(0);
    const lines = output
      .trim()
      .split('\n')
      .map((line): Record<string, unknown> => JSON.parse(line));
    const { record } = readRun(finished);
    const expected = {
      event: 'verified',
      steps: STEPS,
      checkpoints: 2,
      model: true,
      chain: record.chain,
    };
    expect(lines.at(-1)).toMatchObject({ ...expected, engine: record.engine?.description });
  });

  it('starts from a checkpoint with --from, and says that it trusts that checkpoint', async () => {
    const { code, output } = await run([
      'verify',
      finished,
      '--from',
      String(STEPS - 1),
      '-n',
      '1',
    ]);
    expect(code, output).toBe(0);
    expect(output).toMatch(
      /starting from the checkpoint at step 150; earlier steps are not verified/,
    );
    expect(output).toMatch(
      /verified 250 steps \(151 to 400\), 2 evaluations, 1 checkpoint and the model/,
    );
    const none = await run(['verify', finished, '--from', String(SHORT - 1), '-n', '1']);
    expect(none.code, none.output).toBe(0);
    expect(none.output).toMatch(
      /there is no checkpoint at or before step 149 .*starting from the beginning/,
    );
    expect(none.output).toMatch(/verified 400 steps, 2 evaluations/);
  });

  it('verifies an interrupted run up to its last step', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), ...ENDLESS]);
    await interrupt(local);
    const { code, output } = await run(['verify', join(runs, 'r')]);
    expect(code, output).toBe(0);
    expect(output).toMatch(/verified [\d,]+ steps?, .*1 checkpoint and the model/);
  });

  it('verifies a run that is still running, and does not change it', async () => {
    const runs = temporaryFolder();
    const local = start([...quickLocal(runs), ...ENDLESS, '-n', '1']);
    await local.says(/w0 delivered its first shard/);
    const lines = join(runs, 'r', 'metrics.jsonl');
    await vi.waitUntil(() => statSync(lines).size > 1000, { timeout: 60_000 });
    const { code, output } = await run([
      'verify',
      join(runs, 'r'),
      '-n',
      '1',
      '--engine',
      'reference',
    ]);
    expect(code, output).toBe(0);
    expect(output).toMatch(/process \d+ on \S+ is running .*; verifying it up to step \d+/);
    local.process.kill('SIGINT');
    expect(await local.exited, local.output()).toBe(130);
    readRun(join(runs, 'r'));
  });

  it('reports the first step that differs, even if only a replay can find it', async () => {
    const directory = copyOf(finished);
    forge(directory, 123);
    const { code, output } = await run(['verify', directory]);
    expect(code, output).toBe(errorTable.DIFFERS.exit);
    expect(output).toMatch(/mnist-dist: step 123 differs: correct recorded \d+, computed \d+/);
    expect(output).not.toContain('warning');
  });

  it.each(['model.safetensors', `checkpoints/step-${String(STEPS).padStart(10, '0')}.safetensors`])(
    'finds a changed byte in %s',
    async (name) => {
      const directory = copyOf(finished);
      flip(join(directory, name));
      const { code, output } = await run(['verify', directory, '--from', String(STEPS), '-n', '1']);
      expect(code, output).toBe(errorTable.DIFFERS.exit);
      expect(output).toContain(name);
    },
  );

  it('refuses a different engine and reports both engines', async () => {
    const { code, output } = await run(['verify', finished, '--engine', 'wasm']);
    expect(code, output).toBe(errorTable.NOT_REPLAYABLE.exit);
    expect(output).toMatch(
      /was computed by reference \(.*; here w\d is ready \(tfjs-backend-wasm .* engine differs/,
    );
    expect(output).not.toContain('allow-mixed-engines');
  });

  it('refuses a different dataset', async () => {
    const data = temporaryFolder();
    for (const [name, bytes] of Object.entries(tinyFiles)) writeFileSync(join(data, name), bytes);
    const { code, output } = await run(['verify', finished, '--data', data]);
    expect(code, output).toBe(errorTable.NOT_REPLAYABLE.exit);
    expect(output).toMatch(/was trained on dataset .*; this is/);
    expect(output).toMatch(/pass the folder of MNIST with --data DIR/);
  });

  it('rejects a folder that is not a run', async () => {
    const missing = await run(['verify', join(shared, 'finishd')]);
    expect(missing.code, missing.output).toBe(errorTable.USAGE.exit);
    expect(missing.output).toContain(`did you mean ${finished}?`);
    const folder = await run(['verify', shared]);
    expect(folder.code, folder.output).toBe(errorTable.USAGE.exit);
    expect(folder.output).toContain('is a folder of runs, not a run');
    const empty = await run(['verify', '--runs-dir', temporaryFolder()]);
    expect(empty.code, empty.output).toBe(errorTable.USAGE.exit);
  });

  it('continues when a worker is killed, and ends all its processes on Ctrl-C', async () => {
    const runs = temporaryFolder();
    const { code, output } = await run([...quickLocal(runs), '--steps', '2000']);
    expect(code, output).toBe(0);
    const long = join(runs, 'r');
    // A token in the environment belongs to other runs.
    const file = join(temporaryFolder(), 'token');
    writeFileSync(file, 'another-token-of-another-run', { mode: 0o600 });
    const first = start(['verify', long, '--log-level', 'debug'], { MNIST_DIST_TOKEN_FILE: file });
    await first.says(/w1 delivered its first shard/);
    const [child] = childrenOf(first.process.pid);
    if (child === undefined) throw new Error('verify has no worker');
    process.kill(child, 'SIGKILL');
    await first.says(/w\d was ended by signal 9; restarting it/);
    expect(await first.exited, first.output()).toBe(0);

    const second = start(['verify', long, '--log-level', 'debug']);
    await second.says(/w1 delivered its first shard/);
    const children = childrenOf(second.process.pid);
    expect(children).toHaveLength(2);
    second.process.kill('SIGINT');
    expect(await second.exited, second.output()).toBe(130);
    expect(second.output()).toMatch(/no difference up to step \d+/);
    expect(children.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  });
});

function childrenOf(pid = 0): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

/**
 * Changes a step's number of correct rows, and repairs every file that would reveal the change.
 */
function forge(directory: string, step: number): void {
  const { record, lines } = readRun(directory);
  const formatter = new MetricsFormatter();
  const chain = new Chain(firstLink(configurationOfRecord(record.configuration)));
  const text = lines.map((line) => {
    if (line.kind === 'evaluation') return formatter.evaluation(line);
    const changed = line.step === step ? { ...line, correct: line.correct + 1 } : line;
    const weights = BigInt(`0x${line.weights}`);
    return formatter.step({ ...changed, weights, chain: chain.add({ ...changed, weights }) });
  });
  writeFileSync(join(directory, 'metrics.jsonl'), text.join(''));
  writeFileSync(join(directory, 'run.json'), JSON.stringify({ ...record, chain: chain.link }));
  rmSync(join(directory, 'checkpoints'), { recursive: true });
}
