import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readEvidence } from '../../coordinator/evidence.ts';
import { checkDataset, planReplay } from '../../coordinator/replay.ts';
import { Chain, firstLink } from '../../shared/chain.ts';
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from '../../shared/checkpoint-file.ts';
import { configurationOfRecord, configurationRecord } from '../../shared/configuration.ts';
import { MetricsFormatter, readMetrics, type MetricsLine } from '../../shared/metrics.ts';
import { decodeTensors, encodeTensors } from '../../shared/safetensors.ts';
import { parseRunRecord, type RunRecord } from '../../shared/run-schema.ts';
import { temporaryFolder } from '../process/cluster.ts';
import { Random } from '../sim/random.ts';
import { configuration, dataset, honest, makeUp, verifyMadeUp } from './made-up-run.ts';

const whole = { steps: 12, evaluations: 3, model: true };

let runs: string;
beforeEach(() => {
  runs = temporaryFolder();
});

function edit(directory: string, change: (record: RunRecord) => object): void {
  const path = join(directory, 'run.json');
  writeFileSync(path, JSON.stringify(change(parseRunRecord(readFileSync(path, 'utf8'), path))));
}

function without(record: RunRecord, ...names: readonly (keyof RunRecord)[]): object {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !names.some((each) => each === name)));
}

/** As a crash leaves it: nobody has written how the run ended. */
function crash(directory: string): void {
  edit(directory, (record) => ({ ...without(record, 'ended', 'result', 'error'), state: 'running' }));
}

function linesOf(directory: string): MetricsLine[] {
  return readMetrics(readFileSync(join(directory, 'metrics.jsonl'), 'utf8')).lines;
}

/** Rewrites metrics.jsonl with right digests, and with `links` with a right chain too, which run.json then has as well. */
function forge(directory: string, change: (line: MetricsLine) => MetricsLine[], links: boolean): void {
  const formatter = new MetricsFormatter();
  let last: { chain: string; weights: string } | undefined;
  const path = join(directory, 'run.json');
  const { configuration: recorded } = parseRunRecord(readFileSync(path, 'utf8'), path);
  const chain = new Chain(firstLink(configurationOfRecord(recorded)));
  const text = linesOf(directory)
    .flatMap(change)
    .map((line) => {
      if (line.kind === 'evaluation') return formatter.evaluation(line);
      const weights = BigInt(`0x${line.weights}`);
      const link = links ? chain.add({ ...line, weights }) : line.chain;
      last = { chain: link, weights: line.weights };
      return formatter.step({ ...line, weights, chain: link });
    });
  writeFileSync(join(directory, 'metrics.jsonl'), text.join(''));
  edit(directory, (record) => ({ ...record, ...last }));
}

function checkpointOf(directory: string, step: number): string {
  return join(directory, 'checkpoints', `step-${String(step).padStart(10, '0')}.safetensors`);
}

function changeCheckpoint(path: string, change: (checkpoint: Checkpoint) => Partial<Checkpoint>): void {
  const checkpoint = decodeCheckpoint(readFileSync(path), path, configuration);
  writeFileSync(path, encodeCheckpoint({ ...checkpoint, ...change(checkpoint) }));
}

function oneMore(values: Float32Array): Float32Array {
  return values.map((value, i) => (i === 7 ? value + 1 : value));
}

function expectDifference(directory: string, words: RegExp, from?: number): Promise<void> {
  return expect(verifyMadeUp(directory, from === undefined ? {} : { from })).rejects.toMatchObject({
    code: 'DIFFERS',
    message: expect.stringMatching(words),
  });
}

describe('a run that nobody touched is verified', () => {
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

  it('when it was interrupted and went on', async () => {
    const resume = await makeUp({ runs, until: 7 });
    expect(await makeUp({ runs, resume })).toBe(resume);
    expect(await verifyMadeUp(resume)).toMatchObject({ ...whole, checkpoints: 2 });
  });

  it('when it was prolonged, with the evaluation in its middle', async () => {
    const resume = await makeUp({ runs });
    await makeUp({ runs, resume, configuration: { ...configuration, steps: 20 }, until: 18 });
    const expected = { steps: 18, evaluations: 4, checkpoints: 2, model: true };
    expect(await verifyMadeUp(resume)).toMatchObject(expected);
    crash(resume);
    expect(await verifyMadeUp(resume)).toMatchObject(expected);
  });

  it('when it crashed, and its last line is torn', async () => {
    const directory = await makeUp({ runs, until: 7 });
    crash(directory);
    rmSync(join(directory, 'model.safetensors'));
    writeFileSync(join(directory, 'metrics.jsonl'), '{"kind":"step","st', { flag: 'a' });
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 7, evaluations: 1, model: false });
  });

  it('when it crashed before run.json knew its engine', async () => {
    const directory = await makeUp({ runs, until: 7 });
    crash(directory);
    edit(directory, (record) => ({ ...without(record, 'engine'), step: 0, chain: firstLink(configuration) }));
    const evidence = await readEvidence(directory);
    expect(planReplay(evidence, undefined).checkpoints.fingerprint).toMatch(/^fe/);
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 7 });
    // Without a checkpoint nothing says which engine it was: then a difference proves nothing.
    rmSync(join(directory, 'checkpoints'), { recursive: true });
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 7 });
    const rule = { ...honest, loss: () => 1 };
    await expect(verifyMadeUp(directory, { rule })).rejects.toMatchObject({ code: 'NOT_REPLAYABLE' });
  });

  it('when it fell back behind its own lines and was interrupted there', async () => {
    const resume = await makeUp({ runs, until: 5 });
    await makeUp({ runs, resume, until: 8 });
    crash(resume);
    rmSync(checkpointOf(resume, 8));
    await makeUp({ runs, resume, until: 6 });
    expect(await verifyMadeUp(resume)).toMatchObject({ steps: 8, checkpoints: 2, model: true });
  });

  it('when a loss is negative zero, which JSON does not have', async () => {
    const rule = { ...honest, loss: (step: number) => (step === 3 ? -0 : 1) };
    const directory = await makeUp({ runs, rule });
    expect(await verifyMadeUp(directory, { rule })).toMatchObject(whole);
    await expect(
      verifyMadeUp(directory, { rule: { ...rule, loss: (step) => (step === 3 ? 0 : 1) } }),
    ).rejects.toThrow(/step 3 differs: chain/);
  });
});

describe('--from', () => {
  it('begins at the newest checkpoint not after the step', async () => {
    const resume = await makeUp({ runs, until: 7 });
    await makeUp({ runs, resume });
    expect(await verifyMadeUp(resume, { from: 11 })).toMatchObject({
      steps: 5,
      evaluations: 2,
      checkpoints: 1,
      model: true,
    });
    expect(await verifyMadeUp(resume, { from: 6 })).toMatchObject(whole);
    expect(await verifyMadeUp(resume, { from: 99 })).toMatchObject({ steps: 0, evaluations: 1, model: true });
  });

  it('finds a checkpoint whose weights are not those of its line', async () => {
    const directory = await makeUp({ runs, until: 7 });
    changeCheckpoint(checkpointOf(directory, 7), ({ weights }) => ({ weights: oneMore(weights) }));
    await expectDifference(directory, /the checkpoint of step 7 has other weights/, 7);
  });
});

describe('every changed byte is found', () => {
  it.each(['metrics.jsonl', 'model.safetensors', 'checkpoint 7', 'checkpoint 12'])('in %s', async (name) => {
    const directory = await makeUp({ runs, until: 7 });
    await makeUp({ runs, resume: directory });
    const [, step] = name.split(' ');
    const path = step === undefined ? join(directory, name) : checkpointOf(directory, Number(step));
    const intact = readFileSync(path);
    const random = new Random(name.length);
    const places = Array.from({ length: 120 }, () => random.below(intact.length));
    for (const at of [0, intact.length - 1, ...places]) {
      const changed = Buffer.from(intact);
      changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
      writeFileSync(path, changed);
      await expect(verifyMadeUp(directory), `byte ${at}`).rejects.toMatchObject({ code: 'DIFFERS' });
    }
    writeFileSync(path, intact);
    expect(await verifyMadeUp(directory)).toMatchObject(whole);
  });
});

describe('what a replay alone can find', () => {
  const changed: [string, (line: MetricsLine) => MetricsLine, RegExp][] = [
    ['loss', (line) => ({ ...line, loss: 0.25 }), /step 4 differs: loss recorded 0.25, computed 0.5/],
    ['correct', (line) => ({ ...line, correct: 5 }), /step 4 differs: correct recorded 5, computed 4/],
    ['samples', (line) => ({ ...line, samples: 7 }), /step 4 differs: samples recorded 7, computed 8/],
    ['weights', (line) => ({ ...line, weights: 'ab'.repeat(8) }), /step 4 differs: weights recorded abab/],
  ];
  it.each(changed)('another %s of a step', async (_, change, words) => {
    const directory = await makeUp({ runs });
    rmSync(checkpointOf(directory, 12));
    forge(directory, (line) => [line.kind === 'step' && line.step === 4 ? change(line) : line], true);
    await expectDifference(directory, words);
  });

  const evaluated: [string, (line: MetricsLine) => MetricsLine, RegExp][] = [
    ['loss', (line) => ({ ...line, loss: 9 }), /the evaluation after step 10 differs: loss recorded 9/],
    [
      'correct',
      (line) => ({ ...line, correct: 20 }),
      /the evaluation after step 10 differs: correct recorded 20/,
    ],
    [
      'samples',
      (line) => ({ ...line, samples: 19 }),
      /after step 10 differs: samples recorded 19, computed 20/,
    ],
  ];
  it.each(evaluated)('another %s of an evaluation', async (_, change, words) => {
    const directory = await makeUp({ runs });
    forge(directory, (line) => [line.kind === 'evaluation' && line.step === 10 ? change(line) : line], false);
    await expectDifference(directory, words);
  });

  it('an evaluation that was never made', async () => {
    const directory = await makeUp({ runs });
    const made = {
      kind: 'evaluation',
      step: 4,
      epoch: 1,
      samples: 20,
      loss: 1,
      correct: 1,
      digest: '',
    } as const;
    forge(directory, (line) => (line.step === 4 ? [line, made] : [line]), false);
    await expectDifference(directory, /the evaluation after step 4 differs/);
  });

  it('other bytes all along', async () => {
    const directory = await makeUp({ runs });
    const rule = { ...honest, gradient: () => 0.5 };
    await expect(verifyMadeUp(directory, { rule })).rejects.toThrow(/step 1 differs: weights recorded/);
  });

  const results: [string, object, RegExp][] = [
    ['loss', { loss: 1 }, /the result in .*run.json differs: loss recorded 1, computed/],
    ['accuracy', { accuracy: 1 }, /differs: accuracy recorded 1, computed/],
    ['confusion matrix', { confusion: [[1]] }, /differs: confusion recorded \[\[1\]\], computed/],
  ];
  it.each(results)('another %s of the result', async (_, change, words) => {
    const directory = await makeUp({ runs });
    edit(directory, ({ result, ...record }) => ({
      ...record,
      result: { ...result, test: { ...result?.test, ...change } },
    }));
    await expectDifference(directory, words);
  });

  it('another weight in the model', async () => {
    const directory = await makeUp({ runs });
    const path = join(directory, 'model.safetensors');
    const { metadata, tensors } = decodeTensors(readFileSync(path), path);
    const changed = tensors.map((tensor) => ({ ...tensor, data: oneMore(tensor.data) }));
    writeFileSync(path, encodeTensors({ metadata, tensors: changed }));
    await expectDifference(
      directory,
      /model.safetensors differs from what step 12 computes: from byte \d+ on/,
    );
    writeFileSync(path, encodeTensors({ metadata: { ...metadata, more: 'x' }, tensors }));
    await expectDifference(directory, /model.safetensors differs .* it has \d+ bytes, not \d+/);
  });

  it.each(['weights', 'firstMoment', 'secondMoment'] as const)('other %s in a checkpoint', async (name) => {
    const resume = await makeUp({ runs, until: 7 });
    await makeUp({ runs, resume });
    changeCheckpoint(checkpointOf(resume, 7), (checkpoint) => ({ [name]: oneMore(checkpoint[name]) }));
    await expectDifference(resume, /step-0000000007.safetensors differs from what step 7 computes/);
  });
});

describe('files that contradict each other are found before anything is computed', () => {
  const records: [string, (record: RunRecord) => object, RegExp][] = [
    [
      'more steps',
      (record) => ({ ...record, step: 13 }),
      /says that 13 steps were done; metrics.jsonl has 12/,
    ],
    ['fewer steps', (record) => ({ ...record, step: 11 }), /another chain link than step 11/],
    [
      'another link',
      (record) => ({ ...record, chain: 'ab'.repeat(32) }),
      /another chain link than step 12: abab/,
    ],
    [
      'other weights',
      (record) => ({ ...record, weights: 'ab'.repeat(8) }),
      /another checksum .* than step 12: abab/,
    ],
    ['no result', (record) => without(record, 'result'), /is finished, and has no result/],
    [
      'another length',
      (record) => ({ ...record, configuration: { ...record.configuration, steps: 13 } }),
      /is finished, after 12 of 13 steps/,
    ],
    [
      'another configuration',
      (record) => ({ ...record, configuration: { ...record.configuration, learning_rate: 0.02 } }),
      /the chain breaks at step 1 of .* the configuration in run.json/,
    ],
  ];
  it.each(records)('run.json with %s', async (_, change, words) => {
    const directory = await makeUp({ runs });
    edit(directory, change);
    await expectDifference(directory, words);
  });

  const lines: [string, (line: MetricsLine) => MetricsLine[], RegExp][] = [
    ['another loss', (line) => [line.step === 4 ? { ...line, loss: 9 } : line], /the chain breaks at step 4/],
    ['another epoch', (line) => [line.step === 4 ? { ...line, epoch: 2 } : line], /puts step 4 into epoch 2/],
    [
      'no step 4',
      (line) => (line.step === 4 ? [] : [line]),
      /line 4 of .* is step 5; step 4 should stand there/,
    ],
    ['step 4 twice', (line) => (line.step === 4 ? [line, line] : [line]), /line 5 of .* is step 4; step 5/],
    [
      'an evaluation twice',
      (line) => (line.kind === 'evaluation' ? [line, line] : [line]),
      /line 7 of .* is an evaluation after step 5, which does not belong there/,
    ],
    [
      'an evaluation too soon',
      (line) => (line.step === 5 && line.kind === 'evaluation' ? [{ ...line, step: 6, epoch: 2 }] : [line]),
      /line 6 of .* is an evaluation after step 6/,
    ],
    [
      'no evaluation of an epoch',
      (line) => (line.kind === 'evaluation' && line.step === 5 ? [] : [line]),
      /lacks the evaluation after step 5/,
    ],
    [
      'no last evaluation',
      (line) => (line.kind === 'evaluation' && line.step === 12 ? [] : [line]),
      /lacks the evaluation after step 12/,
    ],
  ];
  it.each(lines)('metrics.jsonl with %s', async (_, change, words) => {
    const directory = await makeUp({ runs });
    forge(directory, change, false);
    await expectDifference(directory, words);
  });

  it('metrics.jsonl that was cut, changed, or goes on after a line', async () => {
    const directory = await makeUp({ runs, until: 7 });
    const path = join(directory, 'metrics.jsonl');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.slice(0, text.trimEnd().lastIndexOf('\n') + 1));
    await expectDifference(directory, /says that 7 steps were done; metrics.jsonl has 6/);
    writeFileSync(path, text.replace('"correct":4', '"correct":5'));
    await expectDifference(directory, /line 4 of .* is not what was written/);
    crash(directory);
    edit(directory, (record) => ({ ...record, step: 0, chain: firstLink(configuration) }));
    rmSync(join(directory, 'checkpoints'), { recursive: true });
    rmSync(join(directory, 'model.safetensors'));
    writeFileSync(path, `${text.trimEnd()}x`);
    await expectDifference(directory, /line 8 of .* goes on after its end/);
  });

  it('a model that is missing, of another run, or of no step', async () => {
    const directory = await makeUp({ runs, until: 7 });
    const path = join(directory, 'model.safetensors');
    const intact = readFileSync(path);
    rmSync(path);
    await expectDifference(directory, /model.safetensors is missing/);
    crash(directory);
    const { metadata, tensors } = decodeTensors(intact, path);
    const rewrite = (change: Record<string, string>) =>
      writeFileSync(path, encodeTensors({ metadata: { ...metadata, ...change }, tensors }));
    rewrite({ configuration: JSON.stringify(configurationRecord({ ...configuration, seed: 2 })) });
    await expectDifference(directory, /is a model of another configuration/);
    rewrite({ configuration: '{' });
    await expectDifference(directory, /is a model of another configuration/);
    rewrite({ step: 'x' });
    await expectDifference(directory, /does not say of which step it is/);
    rewrite({ step: '8' });
    await expectDifference(directory, /is of step 8; metrics.jsonl ends at step 7/);
    writeFileSync(path, intact.subarray(0, 100));
    await expectDifference(directory, /is not an intact safetensors file/);
  });

  const checkpoints: [string, Partial<Checkpoint>, RegExp][] = [
    ['another step', { step: 6 }, /is a checkpoint of step 6/],
    ['another link', { chain: 'ab'.repeat(32) }, /another chain link than step 7/],
    [
      'another engine',
      { fingerprint: 'ab'.repeat(32) },
      /computed by another engine than the run, fingerprint abab/,
    ],
    ['another evaluation', { evaluated: 6 }, /names an evaluation after step 6/],
    ['an evaluation before the last', { evaluated: 0 }, /names an evaluation after step 0/],
  ];
  it.each(checkpoints)('a checkpoint with %s', async (_, change, words) => {
    const directory = await makeUp({ runs, until: 7 });
    changeCheckpoint(checkpointOf(directory, 7), () => change);
    await expectDifference(directory, words);
  });

  it('a checkpoint of a step that has no line', async () => {
    const directory = await makeUp({ runs, until: 7 });
    changeCheckpoint(checkpointOf(directory, 7), () => ({ step: 8 }));
    renameSync(checkpointOf(directory, 7), checkpointOf(directory, 8));
    await expectDifference(directory, /is of a step that metrics.jsonl does not have/);
  });

  it('a checkpoint that cannot be read', async () => {
    const directory = await makeUp({ runs, until: 7 });
    mkdirSync(checkpointOf(directory, 6));
    await expect(verifyMadeUp(directory)).rejects.toMatchObject({ code: 'DATA' });
  });

  it('a checkpoint before the evaluation of its own step is right', async () => {
    const directory = await makeUp({ runs, until: 5 });
    changeCheckpoint(checkpointOf(directory, 5), () => ({ evaluated: 0 }));
    expect(await verifyMadeUp(directory)).toMatchObject({ steps: 5, checkpoints: 1 });
  });
});

describe('what cannot be replayed here is no difference', () => {
  async function expectNotReplayable(directory: string, words: RegExp): Promise<void> {
    await expect(verifyMadeUp(directory)).rejects.toMatchObject({
      code: 'NOT_REPLAYABLE',
      message: expect.stringMatching(words),
    });
  }

  it('a run of mixed engines', async () => {
    await expectNotReplayable(await makeUp({ runs, mixed: true }), /was computed by mixed engines/);
  });

  it('a run without a step', async () => {
    await expectNotReplayable(await makeUp({ runs, until: 0 }), /holds no step/);
  });

  it('a run of another arithmetic, whatever else its run.json looks like', async () => {
    const directory = join(runs, 'r');
    mkdirSync(directory);
    writeFileSync(join(directory, 'run.json'), '{"arithmetic":2,"version":"9.9.9","new":1}');
    await expectNotReplayable(directory, /arithmetic 2; this mnist-dist computes arithmetic 1/);
  });

  it('another dataset; but other sizes of the same one are a difference', async () => {
    const directory = await makeUp({ runs });
    const replay = planReplay(await readEvidence(directory), undefined);
    expect(() => checkDataset(replay, { ...dataset, digest: 'ab'.repeat(32) })).toThrow(
      expect.objectContaining({ code: 'NOT_REPLAYABLE' }),
    );
    rmSync(checkpointOf(directory, 12));
    edit(directory, (record) => ({
      ...record,
      configuration: { ...record.configuration, test_samples: 21 },
    }));
    forge(directory, (line) => [line], true);
    await expectDifference(directory, /has other sizes than its dataset/);
  });

  it('a folder that is no run, or whose run.json is none', async () => {
    await expect(readEvidence(runs)).rejects.toMatchObject({ code: 'USAGE' });
    writeFileSync(join(runs, 'run.json'), '{');
    await expect(readEvidence(runs)).rejects.toMatchObject({ code: 'DATA' });
  });
});

it('writes nothing', async () => {
  const directory = await makeUp({ runs });
  const before = readdirSync(directory, { recursive: true }).toSorted();
  await verifyMadeUp(directory);
  expect(readdirSync(directory, { recursive: true }).toSorted()).toEqual(before);
});
