import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readRunContents } from '../../../../coordinator/run-directory/run-contents.ts';
import { firstLink } from '../../../../shared/files/chain.ts';
import { readMetrics, type MetricsLine } from '../../../../shared/files/metrics.ts';
import { modelDigest } from '../../../../shared/files/own-model.ts';
import { decodeTensors, encodeTensors } from '../../../../shared/files/safetensors.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { Random } from '../../../fixtures/seeded-random.ts';
import { changeCheckpoint, checkpointOf, expectDifference, forge, oneMore } from './forgery.ts';
import { crash, edit, without } from './record-edits.ts';
import {
  configuration,
  FINGERPRINT,
  honest,
  makeUp,
  openVerifier,
  splitConfiguration,
  verifyMadeUp,
} from '../../../fixtures/recorded-run.ts';
import { planReplay } from '../../../../coordinator/replay/replay-plan.ts';

const whole = { steps: 12, evaluations: 3, model: true };

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
});

describe('an unchanged run is verified', () => {
  it('when it is finished', async () => {
    const directory = await makeUp({ runs });
    const verified = await verifyMadeUp(directory);
    expect(verified).toMatchObject({ ...whole, step: 12, checkpoints: 1 });
    const { chain } = parseRunRecord(readFileSync(join(directory, 'run.json'), 'utf8'), 'run.json');
    expect(verified.chain).toBe(chain);
  });

  it('as far as it went, when it was interrupted', async () => {
    const directory = await makeUp({ runs, until: 7 });
    expect(await verifyMadeUp(directory)).toMatchObject({
      steps: 7,
      evaluations: 1,
      checkpoints: 1,
      model: true,
    });
  });

  it('when it was interrupted and resumed', async () => {
    const resume = await makeUp({ runs, until: 7 });
    expect(await makeUp({ runs, resume })).toBe(resume);
    expect(await verifyMadeUp(resume)).toMatchObject({ ...whole, checkpoints: 2 });
  });

  it('when it was extended, with an evaluation in the middle', async () => {
    const resume = await makeUp({ runs });
    await makeUp({ runs, resume, configuration: { ...configuration, steps: 20 }, until: 18 });
    const expected = { steps: 18, evaluations: 4, checkpoints: 2, model: true };
    expect(await verifyMadeUp(resume)).toMatchObject(expected);
    crash(resume);
    expect(await verifyMadeUp(resume)).toMatchObject(expected);
  });

  it('with a validation set, also when it was interrupted, resumed and extended', async () => {
    const chosen = splitConfiguration;
    const resume = await makeUp({ runs, configuration: chosen, until: 7 });
    expect(await verifyMadeUp(resume)).toMatchObject({ steps: 7, evaluations: 1 });
    await makeUp({ runs, resume, configuration: chosen });
    // Three evaluations of the validation set, and one of the test set.
    const verified = { steps: 12, evaluations: 4, checkpoints: 2, model: true };
    expect(await verifyMadeUp(resume)).toMatchObject(verified);
    const once = await makeUp({ runs, configuration: chosen });
    for (const name of ['model.safetensors', 'artifacts/misclassified.jsonl'])
      expect(readFileSync(join(resume, name))).toEqual(readFileSync(join(once, name)));
    await makeUp({ runs, resume, configuration: { ...chosen, steps: 16 } });
    expect(await verifyMadeUp(resume)).toMatchObject({ steps: 16, evaluations: 6 });
    expect(await verifyMadeUp(resume, { from: 12 })).toMatchObject({ steps: 4, evaluations: 4 });
  });

  it('with a validation set, when it was killed after its last test', async () => {
    const chosen = splitConfiguration;
    const resume = await makeUp({ runs, configuration: chosen, isKilled: true });
    await makeUp({ runs, resume, configuration: chosen });
    const { lines } = readMetrics(readFileSync(join(resume, 'metrics.jsonl'), 'utf8'));
    const evaluations = lines.flatMap((line) =>
      line.kind === 'evaluation' ? [`${line.set} ${line.step}`] : [],
    );
    expect(evaluations).toEqual(['validation 4', 'validation 8', 'validation 12', 'test 12']);
    expect(await verifyMadeUp(resume)).toMatchObject({ steps: 12, evaluations: 4, model: true });
  });

  it('when it crashed, and its last line is torn', async () => {
    const directory = await makeUp({ runs, until: 7 });
    crash(directory);
    rmSync(join(directory, 'model.safetensors'));
    writeFileSync(join(directory, 'metrics.jsonl'), '{"kind":"step","st', { flag: 'a' });
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 7, evaluations: 1, model: false });
  });

  it('when it crashed before its engine was recorded in run.json', async () => {
    const directory = await makeUp({ runs, until: 7 });
    crash(directory);
    edit(directory, (record) => ({
      ...without(record, 'engine'),
      step: 0,
      chain: firstLink(configuration),
    }));
    const contents = await readRunContents(directory);
    expect((await planReplay(contents, undefined)).checkpoints.fingerprint).toMatch(/^fe/);
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 7 });
    // Without a checkpoint the engine is unknown, so a difference proves nothing.
    rmSync(join(directory, 'checkpoints'), { recursive: true });
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 7 });
    const rule = { ...honest, loss: () => 1 };
    await expect(verifyMadeUp(directory, { rule })).rejects.toMatchObject({
      code: 'NOT_REPLAYABLE',
    });
  });

  it('when it repeated recorded steps and was interrupted before the last of them', async () => {
    const resume = await makeUp({ runs, until: 5 });
    await makeUp({ runs, resume, until: 8 });
    crash(resume);
    rmSync(checkpointOf(resume, 8));
    await makeUp({ runs, resume, until: 6 });
    expect(await verifyMadeUp(resume)).toMatchObject({ steps: 8, checkpoints: 2, model: true });
  });

  it('when it was resumed from a checkpoint before the evaluation in the middle', async () => {
    const resume = await makeUp({ runs, until: 7 });
    await makeUp({ runs, resume });
    rmSync(checkpointOf(resume, 12));
    await makeUp({ runs, resume, configuration: { ...configuration, steps: 20 }, until: 14 });
    expect(await verifyMadeUp(resume)).toMatchObject({ steps: 14, evaluations: 3, checkpoints: 2 });
  });

  it('when it crashed between the last step of an epoch and its evaluation', async () => {
    const directory = await makeUp({ runs, until: 5 });
    crash(directory);
    rmSync(join(directory, 'checkpoints'), { recursive: true });
    forge(directory, (line) => (line.kind === 'evaluation' ? [] : [line]), false);
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 5, evaluations: 0 });
  });

  it('when a loss is negative zero, whose sign metrics.jsonl does not record', async () => {
    const rule = { ...honest, loss: (step: number) => (step === 3 ? -0 : 1) };
    const directory = await makeUp({ runs, rule });
    expect(await verifyMadeUp(directory, { rule })).toMatchObject(whole);
    await expect(
      verifyMadeUp(directory, { rule: { ...rule, loss: (step) => (step === 3 ? 0 : 1) } }),
    ).rejects.toThrow(/step 3 differs: chain/);
  });
});

describe('--from', () => {
  it('starts at the newest checkpoint at or before the step', async () => {
    const resume = await makeUp({ runs, until: 7 });
    await makeUp({ runs, resume });
    expect(await verifyMadeUp(resume, { from: 11 })).toMatchObject({
      steps: 5,
      evaluations: 2,
      checkpoints: 1,
      model: true,
    });
    expect(await verifyMadeUp(resume, { from: 6 })).toMatchObject(whole);
    expect(await verifyMadeUp(resume, { from: 99 })).toMatchObject({
      steps: 0,
      evaluations: 1,
      model: true,
    });
  });

  it('finds a checkpoint whose weights do not match the line of its step', async () => {
    const directory = await makeUp({ runs, until: 7 });
    changeCheckpoint(checkpointOf(directory, 7), ({ weights }) => ({ weights: oneMore(weights) }));
    await expectDifference(directory, /the weights in the checkpoint of step 7 differ/, 7);
  });
});

describe('every changed byte is found', () => {
  it.each(['metrics.jsonl', 'model.safetensors', 'checkpoint 7', 'checkpoint 12'])(
    'in %s',
    async (name) => {
      const directory = await makeUp({ runs, until: 7 });
      await makeUp({ runs, resume: directory });
      const [, step] = name.split(' ');
      const path =
        step === undefined ? join(directory, name) : checkpointOf(directory, Number(step));
      const intact = readFileSync(path);
      const random = new Random(name.length);
      const places = Array.from({ length: 120 }, () => random.below(intact.length));
      for (const at of [0, intact.length - 1, ...places]) {
        const changed = Buffer.from(intact);
        changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
        writeFileSync(path, changed);
        await expect(verifyMadeUp(directory), `byte ${at}`).rejects.toMatchObject({
          code: 'DIFFERS',
        });
      }
      writeFileSync(path, intact);
      expect(await verifyMadeUp(directory)).toMatchObject(whole);
    },
  );
});

describe('only a replay finds', () => {
  const changed: [string, (line: MetricsLine) => MetricsLine, RegExp][] = [
    [
      'loss',
      (line) => ({ ...line, loss: 0.25 }),
      /step 4 differs: loss recorded 0.25, computed 0.5/,
    ],
    [
      'correct',
      (line) => ({ ...line, correct: 5 }),
      /step 4 differs: correct recorded 5, computed 4/,
    ],
    [
      'samples',
      (line) => ({ ...line, samples: 7 }),
      /step 4 differs: samples recorded 7, computed 8/,
    ],
    [
      'weights',
      (line) => ({ ...line, weights: 'ab'.repeat(8) }),
      /step 4 differs: weights recorded abab/,
    ],
  ];
  it.each(changed)('a changed "%s" in a step', async (_, change, words) => {
    const directory = await makeUp({ runs });
    rmSync(checkpointOf(directory, 12));
    forge(
      directory,
      (line) => [line.kind === 'step' && line.step === 4 ? change(line) : line],
      true,
    );
    await expectDifference(directory, words);
  });

  const evaluated: [string, (line: MetricsLine) => MetricsLine, RegExp][] = [
    [
      'loss',
      (line) => ({ ...line, loss: 9 }),
      /the evaluation of the test set after step 10 differs: loss recorded 9/,
    ],
    [
      'correct',
      (line) => ({ ...line, correct: 20 }),
      /the evaluation of the test set after step 10 differs: correct recorded 20/,
    ],
    [
      'samples',
      (line) => ({ ...line, samples: 19 }),
      /after step 10 differs: samples recorded 19, computed 20/,
    ],
  ];
  it.each(['validation', 'test'] as const)(
    'a changed digit in a line of the %s set',
    async (set) => {
      const directory = await makeUp({ runs, configuration: splitConfiguration });
      forge(
        directory,
        (line) => [
          line.kind === 'evaluation' && line.set === set && line.step === 12
            ? { ...line, correct: line.correct + 1 }
            : line,
        ],
        false,
      );
      await expectDifference(
        directory,
        new RegExp(`the evaluation of the ${set} set after step 12 differs: correct recorded`),
      );
    },
  );

  it.each(evaluated)('a changed "%s" in an evaluation', async (_, change, words) => {
    const directory = await makeUp({ runs });
    forge(
      directory,
      (line) => [line.kind === 'evaluation' && line.step === 10 ? change(line) : line],
      false,
    );
    await expectDifference(directory, words);
  });

  it('an evaluation that was never made', async () => {
    const directory = await makeUp({ runs });
    const made = {
      kind: 'evaluation',
      set: 'test',
      step: 4,
      epoch: 1,
      samples: 20,
      loss: 1,
      correct: 1,
      digest: '',
    } as const;
    forge(directory, (line) => (line.step === 4 ? [line, made] : [line]), false);
    await expectDifference(directory, /the evaluation of the test set after step 4 differs/);
  });

  it('different bytes from the first step on', async () => {
    const directory = await makeUp({ runs });
    const rule = { ...honest, gradient: () => 0.5 };
    await expect(verifyMadeUp(directory, { rule })).rejects.toThrow(
      /step 1 differs: weights recorded/,
    );
  });

  const results: [string, object, RegExp][] = [
    ['loss', { loss: 1 }, /the result in .*run.json differs: loss recorded 1, computed/],
    ['accuracy', { accuracy: 1 }, /differs: accuracy recorded 1, computed/],
    ['confusion matrix', { confusion: [[1]] }, /differs: confusion recorded \[\[1\]\], computed/],
  ];
  it.each(results)('a changed %s in the result', async (_, change, words) => {
    const directory = await makeUp({ runs });
    edit(directory, ({ result, ...record }) => ({
      ...record,
      result: { ...result, test: { ...result?.test, ...change } },
    }));
    await expectDifference(directory, words);
  });

  it('a changed weight in the model', async () => {
    const directory = await makeUp({ runs });
    const path = join(directory, 'model.safetensors');
    const { metadata, tensors } = decodeTensors(readFileSync(path), path);
    const changed = tensors.map((tensor) => ({ ...tensor, data: oneMore(tensor.data) }));
    writeFileSync(path, encodeTensors({ metadata, tensors: changed }));
    await expectDifference(
      directory,
      /model.safetensors differs from the result of step 12: first at byte \d+/,
    );
    writeFileSync(path, encodeTensors({ metadata: { ...metadata, more: 'x' }, tensors }));
    await expectDifference(directory, /model.safetensors differs .* it has \d+ bytes, not \d+/);
  });

  it('a changed SHA-256 of the model', async () => {
    const directory = await makeUp({ runs });
    edit(directory, (record) => {
      expect(record.model?.sha256).toBe(
        modelDigest(readFileSync(join(directory, 'model.safetensors'))),
      );
      return { ...record, model: { sha256: '0'.repeat(64) } };
    });
    await expectDifference(
      directory,
      /the SHA-256 of the model in .*run.json differs: recorded 0{64}, computed/,
    );
    // A run from an older mnist-dist has no SHA-256.
    edit(directory, (record) => without(record, 'model'));
    await expect(verifyMadeUp(directory)).resolves.toMatchObject({ model: true });
  });

  it.each(['the weights', 'the first moment', 'the second moment'])(
    'a checkpoint in which %s changed',
    async (name) => {
      const resume = await makeUp({ runs, until: 7 });
      await makeUp({ runs, resume });
      changeCheckpoint(checkpointOf(resume, 7), ({ weights, state: [first, second] }) => {
        const of = (which: string, vector: Float32Array | undefined) =>
          which === name ? oneMore(vector ?? weights) : (vector ?? weights);
        return {
          weights: of('the weights', weights),
          state: [of('the first moment', first), of('the second moment', second)],
        };
      });
      await expectDifference(
        resume,
        /step-0000000007.safetensors differs from the result of step 7/,
      );
    },
  );
});

it('a verification writes nothing', async () => {
  const directory = await makeUp({ runs });
  const files = () =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
      .map((path) => [
        path,
        statSync(path).isFile() ? readFileSync(path, 'hex') : '',
        statSync(path).mtimeMs,
      ]);
  const before = files();
  await verifyMadeUp(directory);
  expect(files()).toEqual(before);
});

describe('a replay', () => {
  it("admits only the run's engine, and reports which worker has a different one", async () => {
    const { verifier, logged } = await openVerifier(await makeUp({ runs }));
    expect(verifier.resumed).toMatchObject({ fingerprint: FINGERPRINT, step: 0, mixed: false });
    const ready = (fingerprint: string) =>
      verifier.log({
        kind: 'log',
        level: 'info',
        event: 'ready',
        message: 'w0 is ready (x)',
        fields: { fingerprint },
      });
    const lost = () =>
      verifier.log({ kind: 'log', level: 'warn', event: 'lost', message: 'w0 left', fields: {} });
    ready(FINGERPRINT);
    lost();
    expect(verifier.mismatched).toBeUndefined();
    ready('ab'.repeat(32));
    lost();
    expect(verifier.mismatched).toBe(
      "w0 is ready (x), but its engine differs from the run's " +
        '(fingerprint abababababab, not fefefefefefe)',
    );
    expect(logged).toEqual([
      'debug: w0 is ready (x)',
      'warn: w0 left',
      'debug: w0 is ready (x)',
      'debug: w0 left',
    ]);
  });

  it('does not mention training flags, and logs waiting as debug after a difference', async () => {
    const { verifier, state, logged } = await openVerifier(await makeUp({ runs }));
    const waiting = () =>
      verifier.log({
        kind: 'log',
        level: 'warn',
        event: 'waiting',
        message: 'no worker (--min-workers)',
        fields: {},
      });
    waiting();
    expect(() =>
      verifier.finish(state, { state: 'diverged', code: 'DIVERGED', message: '' }),
    ).toThrow('differs');
    waiting();
    const words = 'too few workers are left; waiting for more';
    expect(logged).toEqual([`warn: ${words}`, `debug: ${words}`]);
  });

  it('reports a difference at a recorded step if its own result is not finite', async () => {
    const { verifier, state } = await openVerifier(await makeUp({ runs }));
    const outcome = { state: 'diverged', code: 'DIVERGED', message: '' } as const;
    expect(() => verifier.finish(state, outcome)).toThrow(/step 1 differs: .* not finite/);
  });
});
