import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { errorTable } from '../../../shared/errors.ts';
import { tinyFiles } from '../../fixtures/dataset/tiny-dataset.ts';
import { startWorker } from '../../fixtures/processes/cluster.ts';
import { readRun } from '../../fixtures/processes/finished-run.ts';
import { quickLocal, REFERENCE, TOKEN } from '../../fixtures/processes/options.ts';
import { run, start } from '../../fixtures/processes/program.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** A run that several tests read but do not change. */
const runs = temporaryFolder(afterAll);
const directory = join(runs, 'r');
const model = join(directory, 'model.safetensors');

interface Evaluation {
  readonly split: string;
  readonly samples: number;
  readonly accuracy: number;
  readonly loss: number;
  readonly confusion: readonly (readonly number[])[];
  readonly per_class: readonly { readonly recall: number; readonly support: number }[];
  readonly misclassified: readonly { readonly index: number }[];
}

const parsed = (text: string): Evaluation => JSON.parse(text);

async function evaluate(...args: string[]): Promise<{ code: number | undefined; output: string }> {
  return await run(['eval', '--log-level', 'error', ...args], { MNIST_DIST_TOKEN: TOKEN });
}

describe('eval', () => {
  it('needs a fixture run', async () => {
    const options = ['--no-http', '--steps', '300', '--pictures'];
    const { code, output } = await run([...quickLocal(runs), ...options]);
    expect(code, output).toBe(0);
    expect(output).toContain(join(directory, 'artifacts', 'report.html'));
  });

  it('writes the same report as the run, but into a new folder', async () => {
    const { code, output } = await run([
      'eval',
      directory,
      ...REFERENCE,
      '--format',
      'json',
      '--pictures',
    ]);
    expect(code, output).toBe(0);
    const [, out = ''] = /the report and its pictures are in (\S+)/.exec(output) ?? [];
    expect(dirname(out)).toBe(directory);
    const said = parsed(output.slice(output.indexOf('{\n'), output.lastIndexOf('}') + 1));
    for (const folder of [join(directory, 'artifacts'), out]) {
      const json = (name: string) => JSON.parse(readFileSync(join(folder, name), 'utf8'));
      const { accuracy, loss, per_class } = json('summary.json');
      expect({ accuracy, loss }).toEqual({ accuracy: said.accuracy, loss: said.loss });
      expect(per_class).toEqual(said.per_class);
      expect(json('confusion_matrix.json').confusion).toEqual(said.confusion);
      const lines = readFileSync(join(folder, 'misclassified.jsonl'), 'utf8').trimEnd().split('\n');
      expect(lines.map((line) => JSON.parse(line))).toEqual(said.misclassified);
      const names = json('manifest.json').files.map(({ name }: { name: string }) => name);
      expect([...names, 'manifest.json'].toSorted()).toEqual(readdirSync(folder).toSorted());
      expect(names.includes('loss.png')).toBe(folder !== out);
    }
  });

  it('writes a new folder each time, but none when it is stopped', async () => {
    const folders = () => readdirSync(directory).filter((name) => name.startsWith('eval-'));
    const before = folders().length;
    const each = ['test', 'train'].map((split) =>
      run(['eval', directory, '--engine', 'wasm', '--pictures', '--split', split]),
    );
    const made = (await Promise.all(each)).map(
      ({ output }) => /pictures are in (\S+)/.exec(output)?.[1] ?? '',
    );
    expect(new Set(made).size).toBe(2);
    const splits = made.map(
      (folder) => JSON.parse(readFileSync(join(folder, 'summary.json'), 'utf8')).dataset.split,
    );
    expect(splits).toEqual(['test', 'train']);
    expect(folders()).toHaveLength(before + 2);

    const stopped = start(['eval', directory, '--port', '0', '--pictures'], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    await stopped.says(/waiting for a worker/);
    stopped.process.kill('SIGTERM');
    expect(await stopped.exited).toBe(errorTable.TERMINATED.exit);
    expect(folders()).toHaveLength(before + 2);
  });

  it('prints its result even if it cannot write the pictures', async () => {
    const file = join(temporaryFolder(), 'file');
    writeFileSync(file, '');
    const taken = await evaluate(directory, ...REFERENCE, '--pictures', '--out', file);
    expect(taken).toMatchObject({
      code: errorTable.USAGE.exit,
      output: expect.stringContaining(`${file} is not a usable folder`),
    });
    const evaluation = start(
      ['eval', directory, '--port', '0', '--format', 'json', '--pictures', '--out', `${file}2`],
      {
        MNIST_DIST_TOKEN: TOKEN,
      },
    );
    const [, url = ''] = await evaluation.says(/mnist-dist\S* worker --coordinator (\S+)/);
    // `eval` has already checked the folder.
    writeFileSync(`${file}2`, '');
    const worker = startWorker(url);
    expect(await evaluation.exited).toBe(errorTable.USAGE.exit);
    await worker.exited;
    expect(evaluation.output()).toMatch(/"accuracy": 0\.\d+/);
  });

  it('rejects --out together with --no-pictures', async () => {
    const { code, output } = await evaluate(directory, ...REFERENCE, '--no-pictures', '--out', 'x');
    expect(code).toBe(errorTable.USAGE.exit);
    expect(output).toContain('--out x is not allowed');
  });

  it('does not replace existing files', async () => {
    const { code, output } = await evaluate(
      directory,
      ...REFERENCE,
      '--pictures',
      '--out',
      join(directory, 'artifacts'),
    );
    expect(code).toBe(errorTable.USAGE.exit);
    expect(output).toMatch(/artifacts is not empty \(--out\)/);
  });

  it("reproduces the run's result with any engine and any number of workers", async () => {
    const { record } = readRun(directory);
    const { test } = record.result ?? {};
    const said: Evaluation[] = [];
    for (const args of [
      ['--runs-dir', runs, ...REFERENCE, '-n', '1'],
      [directory, ...REFERENCE, '-n', '3'],
      [model, '--engine', 'wasm'],
    ]) {
      const { code, output } = await evaluate('--format', 'json', ...args);
      expect(code, output).toBe(0);
      said.push(parsed(output));
    }
    const [first] = said;
    expect(first).toMatchObject({ split: 'test', samples: 10_000, ...test });
    expect(said[1]).toEqual(first);
    for (const { confusion, misclassified } of said) {
      expect(confusion).toEqual(test?.confusion);
      expect(misclassified.map(({ index }) => index)).toEqual(
        first?.misclassified.map(({ index }) => index),
      );
    }
    expect(first?.misclassified.length).toBe(10_000 - Math.round(10_000 * (first?.accuracy ?? 0)));
    expect(first?.per_class.map(({ support }) => support).reduce((sum, count) => sum + count)).toBe(
      10_000,
    );
  });

  it('waits for workers at a given address', async () => {
    const evaluation = start(['eval', directory, '--port', '0', '--format', 'json'], {
      MNIST_DIST_TOKEN: TOKEN,
    });
    const [, url = ''] = await evaluation.says(/mnist-dist\S* worker --coordinator (\S+)/);
    const worker = startWorker(url);
    expect(await evaluation.exited, evaluation.output()).toBe(0);
    expect(await worker.exited, worker.output()).toBe(0);
    const { record } = readRun(directory);
    const text = evaluation.output();
    expect(parsed(text.slice(text.indexOf('{\n'))).confusion).toEqual(
      record.result?.test.confusion,
    );
  });

  it('evaluates the training set', async () => {
    const { code, output } = await evaluate(
      directory,
      ...REFERENCE,
      '--format',
      'json',
      '--split',
      'train',
    );
    expect(code, output).toBe(0);
    expect(parsed(output)).toMatchObject({ split: 'train', samples: 60_000 });
  });

  it('prints text and CSV', async () => {
    const text = await evaluate(directory, ...REFERENCE);
    for (const words of [
      /^Accuracy \d\d\.\d\d %/,
      /Confusion matrix/,
      /precision +recall/,
      /taken for/,
    ])
      expect(text.output).toMatch(words);
    const csv = await evaluate(directory, ...REFERENCE, '--format', 'csv');
    const lines = csv.output.trimEnd().split('\r\n');
    expect(lines).toHaveLength(11);
    expect(lines.map((line) => line.split(',').length)).toEqual(lines.map(() => 15));
  });

  it('fails if the accuracy is below --fail-under', async () => {
    expect((await evaluate(directory, ...REFERENCE, '--fail-under', '0.5')).code).toBe(0);
    const { code, output } = await evaluate(directory, ...REFERENCE, '--fail-under', '0.999');
    expect(code).toBe(errorTable.BELOW.exit);
    expect(output).toMatch(/the accuracy is \d\d\.\d\d %, below 99\.90 % \(--fail-under\)/);
  });

  it('rejects a model from another program, naming its file', async () => {
    const folder = temporaryFolder();
    const broken = join(folder, 'broken.safetensors');
    cpSync(model, broken);
    writeFileSync(broken, readFileSync(model).subarray(0, 1000));
    const foreign = join(folder, 'foreign.safetensors');
    const header = JSON.stringify({ x: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } }).padEnd(
      64,
    );
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(foreign, Buffer.concat([length, Buffer.from(header), Buffer.alloc(4)]));
    const text = join(folder, 'text');
    writeFileSync(text, 'no model');
    for (const file of [broken, foreign, text]) {
      const { code, output } = await evaluate(file, ...REFERENCE);
      expect(code, file).toBe(errorTable.DATA.exit);
      expect(output).toContain(file);
    }
  });

  it('rejects a dataset that does not match the model', async () => {
    const data = temporaryFolder();
    for (const [name, bytes] of Object.entries(tinyFiles)) writeFileSync(join(data, name), bytes);
    const { code, output } = await evaluate(directory, ...REFERENCE, '--data', data);
    expect(code).toBe(errorTable.DATA.exit);
    expect(output).toMatch(/has 28 x 28 pixels and 10 classes; the dataset has \d+ x \d+ pixels/);
  });
});
