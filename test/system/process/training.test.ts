import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readyTensorFlow } from '../../../worker/native/engine-manifest.ts';
import { childOf } from '../../fixtures/processes/children.ts';
import { train } from '../../fixtures/processes/cluster.ts';
import { readRun, type FinishedRun } from '../../fixtures/processes/finished-run.ts';
import { newRun } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const WASM_STEPS = ['--engine', 'wasm', '--steps', '50', '--seed', '7'];
/** XXH64 of the weights after WASM_STEPS on x86-64, also in versions before models had layers. */
const WASM_GOLDEN = '9eb106e669b3e1f2';

function evaluations({ lines }: FinishedRun): unknown[] {
  return lines
    .filter(({ kind }) => kind === 'evaluation')
    .map(({ step, epoch, samples, loss, correct }) => ({ step, epoch, samples, loss, correct }));
}

describe('the wasm engine', () => {
  it('trains to the golden bytes with 1 and with 3 workers', async () => {
    const one = await train([...WASM_STEPS, '-n', '1']);
    const three = await train([...WASM_STEPS, '-n', '3']);
    expect(three.record.chain).toBe(one.record.chain);
    expect(three.modelSha256).toBe(one.modelSha256);
    if (process.arch === 'x64') expect(one.record.weights).toBe(WASM_GOLDEN);
  });

  it('trains to the same bytes with 1 and 3 workers also with SGD and a schedule', async () => {
    const recipe =
      '--optimizer sgd --learning-rate 0.05 --momentum 0.9 --nesterov --weight-decay 0.01 ' +
      '--clip-norm 0.5 --label-smoothing 0.1 --lr-schedule cosine --warmup 10 --lr-final 0.1';
    const flags = [...WASM_STEPS, ...recipe.split(' ')];
    const one = await train([...flags, '-n', '1']);
    const three = await train([...flags, '-n', '3']);
    expect(three.record.chain).toBe(one.record.chain);
    expect(three.modelSha256).toBe(one.modelSha256);
    expect(one.record.configuration.schedule).toEqual({ kind: 'cosine', final: 0.1, horizon: 50 });
  });

  it('trains to the same bytes with augmentation: 1 worker, 3 workers, resumed', async () => {
    const recipe = ['--engine', 'wasm', '--seed', '7', '--augment', 'shift=2,rotate=10,zoom=0.1'];
    const plain = await train([...WASM_STEPS, '-n', '1']);
    const one = await train([...recipe, '--steps', '50', '-n', '1']);
    const runs = temporaryFolder();
    const begin = ['local', ...newRun(runs), ...recipe, '--steps', '30', '-n', '3'];
    expect((await run(begin)).code).toBe(0);
    const directory = join(runs, 'r');
    const resume = ['local', '--resume', directory, '--no-http', '--no-pictures', '-n', '2'];
    const { code, output } = await run([...resume, '--steps', '50']);
    expect(code, output).toBe(0);
    const resumed = readRun(directory);
    expect(resumed.record.chain).toBe(one.record.chain);
    expect(resumed.modelSha256).toBe(one.modelSha256);
    expect(resumed.modelSha256).not.toBe(plain.modelSha256);
    const augment = { shift: 2, rotate: 10, zoom: 0.1 };
    expect(resumed.record.configuration.augment).toEqual(augment);
    const verified = await run(['verify', directory, '-n', '2']);
    expect(verified.code, verified.output).toBe(0);
    expect(verified.output).toContain('verified 50 steps');
    expect(verified.output).toContain(`same chain ${one.record.chain}`);
  });

  it('gives the same bytes whether tensors travel through shared memory or in frames', async () => {
    const both = await Promise.all(
      [[], ['--no-shared-memory']].map(async (flags) => {
        const runs = temporaryFolder();
        const short = ['-n', '2', '--engine', 'wasm', '--steps', '20', '--log-level', 'debug'];
        const { code, output } = await run(['local', ...newRun(runs), ...short, ...flags]);
        expect(code, output).toBe(0);
        return { output, finished: readRun(join(runs, 'r')) };
      }),
    );
    const [shared, framed] = both;
    const exchanges = /exchanging tensors with process \d+ through shared memory/g;
    expect(shared?.output.match(exchanges)).toHaveLength(2);
    expect(framed?.output).not.toContain('shared memory');
    expect(framed?.finished.modelSha256).toBe(shared?.finished.modelSha256);
  });
});

describe.skipIf(readyTensorFlow() === undefined)('TensorFlow', () => {
  const settings = [
    '--engine',
    'tensorflow',
    '--batch-size',
    '256',
    '--virtual-shards',
    '8',
    '--steps',
    '480',
    '--seed',
    '7',
  ];
  const finished: { workers: number; run: FinishedRun }[] = [];

  it('gives the same bytes, chain and evaluations for 1, 2, 3, 5 and 8 workers', async () => {
    for (const workers of [1, 2, 3, 5, 8]) {
      finished.push({ workers, run: await train([...settings, '-n', String(workers)]) });
    }
    const [first] = finished;
    if (first === undefined) throw new Error('no run');
    for (const { run: other } of finished) {
      expect(other.modelSha256).toBe(first.run.modelSha256);
      expect(other.record.chain).toBe(first.run.record.chain);
      expect(evaluations(other)).toEqual(evaluations(first.run));
      expect(other.record.engine?.fingerprint).toBe(first.run.record.engine?.fingerprint);
    }
    // Two epochs that end with a short batch of 96, and a final evaluation.
    expect(evaluations(first.run)).toHaveLength(3);
  });

  it('uses every worker, and counts every sample once', () => {
    expect(finished).toHaveLength(5);
    for (const {
      workers,
      run: { record, lines },
    } of finished) {
      expect(record.workers.filter(({ samples }) => samples > 0)).toHaveLength(workers);
      const steps = lines.filter(({ kind }) => kind === 'step');
      const samples = steps.reduce((sum, line) => sum + line.samples, 0);
      expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 480 }, (_, i) => i + 1));
      expect(samples).toBe(2 * 60_000 + 10 * 256);
      expect(record.workers.reduce((sum, worker) => sum + worker.samples, 0)).toBe(samples);
    }
  });

  it('reaches 97% in five epochs and leaves a complete run directory', async () => {
    const runs = temporaryFolder();
    const { code, output } = await run(['local', ...newRun(runs, 'five')]);
    expect(code, output).toBe(0);
    const { record, events, lines } = readRun(join(runs, 'five'));
    expect(record.state).toBe('finished');
    expect(record.result?.test.accuracy).toBeGreaterThanOrEqual(0.97);
    const confusion = record.result?.test.confusion ?? [];
    expect(confusion.map((row) => row.reduce((sum, count) => sum + count, 0))).toEqual([
      980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]);
    const correct = confusion.reduce((sum, row, i) => sum + (row[i] ?? 0), 0);
    expect(correct / 10_000).toBe(record.result?.test.accuracy);
    const wrong = readFileSync(join(runs, 'five', 'artifacts', 'misclassified.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
    expect(wrong).toHaveLength(10_000 - correct);
    expect(events.map(({ event }) => event)).toEqual(
      expect.arrayContaining([
        'start',
        'hello',
        'ready',
        'first_shard',
        'step',
        'evaluation',
        'end',
      ]),
    );
    expect(lines.filter(({ kind }) => kind === 'evaluation')).toHaveLength(5);
    expect(output).toContain('Confusion matrix');
  });

  it('gives the same bytes after a worker was killed', async () => {
    const runs = temporaryFolder();
    const options = ['--log-format', 'json', ...settings, '-n', '2'];
    const local = start(['local', ...newRun(runs, 'killed'), ...options]);
    await local.says(/w1 delivered its first shard/);
    process.kill(childOf(local, 'w1'), 'SIGKILL');
    expect(await local.exited, local.output()).toBe(0);
    const killed = readRun(join(runs, 'killed'));
    expect(killed.modelSha256).toBe(finished[0]?.run.modelSha256);
    expect(killed.events.some(({ event, worker }) => event === 'lost' && worker === 'w1')).toBe(
      true,
    );
  });
});
