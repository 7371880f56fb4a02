import { hash } from 'node:crypto';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { artifactsOf } from '../../../../artifacts/report/artifacts.ts';
import { digitNames, fashionNames } from '../../../../shared/dataset/class-names.ts';
import type { Predictions } from '../../../../shared/evaluation/predictions.ts';
import { fileOf, textOf } from '../../../fixtures/artifact-files.ts';
import { hostile, madeUpEvaluation, madeUpMetrics } from '../../../fixtures/evaluation.ts';

const numbers = [
  'summary.json',
  'confusion_matrix.json',
  'confusion_matrix.csv',
  'per_class.csv',
  'misclassified.jsonl',
];
const matrix = ['confusion_matrix.svg', 'confusion_matrix.png'];
const curves = ['loss.svg', 'loss.png', 'accuracy.svg', 'accuracy.png'];
const rest = ['misclassified.png', 'report.html', 'manifest.json'];
const count = z.int().min(0);
const scores = { precision: z.number(), recall: z.number(), f1: z.number(), support: count };
const summarySchema = z.object({
  accuracy: z.number(),
  loss: z.number(),
  samples: count,
  correct: count,
  per_class: z.array(z.strictObject({ class: z.string(), ...scores })),
  training: z
    .strictObject({
      steps: count,
      set: z.literal('test'),
      evaluations: z.array(
        z.strictObject({ step: count, epoch: count, loss: z.number(), accuracy: z.number() }),
      ),
    })
    .optional(),
});
const matrixSchema = z.object({ classes: z.array(z.string()), confusion: z.array(z.array(count)) });
const manifestSchema = z.strictObject({
  format: z.literal(1),
  files: z.array(
    z.strictObject({ name: z.string(), size: count, sha256: z.string(), type: z.string() }),
  ),
});

/** Recomputes the numbers from the predictions alone. */
function recount({ values, labels, classes }: Predictions) {
  const confusion = Array.from({ length: classes }, () => Array.from({ length: classes }, () => 0));
  const losses: number[] = [];
  const wrong: number[] = [];
  for (const [index, label] of labels.entries()) {
    const row = values.subarray(index * (2 + classes), (index + 1) * (2 + classes));
    const counts = confusion[label] ?? [];
    counts[row[0] ?? 0] = (counts[row[0] ?? 0] ?? 0) + 1;
    losses.push(row[1] ?? NaN);
    if (row[0] !== label) wrong.push(index);
  }
  return { confusion, wrong, loss: losses.reduce((a, b) => a + b, 0) / losses.length };
}

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe.each([
  ['digits', digitNames],
  ['Fashion-MNIST', fashionNames],
  ['classes whose names need escaping', hostile],
])('the numbers of %s', (_, classNames) => {
  it('follow from the predictions', async () => {
    const metrics = madeUpMetrics(3, 30);
    const { evaluation, predictions } = madeUpEvaluation(classNames, { metrics });
    const files = await artifactsOf(evaluation);
    const expected = recount(predictions);
    const { confusion, classes } = matrixSchema.parse(
      JSON.parse(textOf(files, 'confusion_matrix.json')),
    );
    expect(confusion).toEqual(expected.confusion);
    expect(classes).toEqual(classNames);
    const summary = summarySchema.parse(JSON.parse(textOf(files, 'summary.json')));
    expect(summary.samples).toBe(400);
    expect(summary.correct).toBe(400 - expected.wrong.length);
    expect(summary.accuracy).toBe(summary.correct / 400);
    expect(summary.loss).toBe(expected.loss);
    const evaluations = metrics.filter(({ kind }) => kind === 'evaluation');
    expect(summary.training?.evaluations).toEqual(
      evaluations.map(({ step, epoch, loss, correct, samples }) => ({
        step,
        epoch,
        loss,
        accuracy: correct / samples,
      })),
    );
    for (const [index, { class: name, support, recall }] of summary.per_class.entries()) {
      const own = expected.confusion[index] ?? [];
      const sum = own.reduce((a, b) => a + b, 0);
      expect([name, support, recall]).toEqual([classNames[index], sum, (own[index] ?? 0) / sum]);
    }
    expect(summary.per_class).toHaveLength(classNames.length);
    const rows = parseCsv(textOf(files, 'confusion_matrix.csv'));
    expect(rows[0]?.slice(1)).toEqual(classNames);
    expect(rows.slice(1).map((row) => row.slice(1).map(Number))).toEqual(expected.confusion);
    expect(rows.slice(1).map(([name]) => name)).toEqual(classNames);
    expect(parseCsv(textOf(files, 'per_class.csv')).slice(1)).toEqual(
      summary.per_class.map(({ class: name, precision, recall, f1, support }) => [
        name,
        ...[precision, recall, f1, support].map(String),
      ]),
    );
    const lines = textOf(files, 'misclassified.jsonl').trim().split('\n');
    expect(lines.map((line) => z.object({ index: count }).parse(JSON.parse(line)).index)).toEqual(
      expected.wrong,
    );
  });
});

describe('artifactsOf', () => {
  it('returns all files in the order in which they are written, the manifest last', async () => {
    const files = await artifactsOf(
      madeUpEvaluation(digitNames, { metrics: madeUpMetrics(1, 9) }).evaluation,
    );
    expect(files.map(({ name }) => name)).toEqual([...numbers, ...matrix, ...curves, ...rest]);
    const manifest = manifestSchema.parse(JSON.parse(textOf(files, 'manifest.json')));
    expect(manifest.files).toEqual(
      files.slice(0, -1).map(({ name, type, bytes }) => ({
        name,
        type,
        size: bytes.length,
        sha256: hash('sha256', bytes, 'hex'),
      })),
    );
    expect(
      Object.fromEntries(files.map(({ name, type }) => [name.split('.').at(-1), type])),
    ).toEqual({
      json: 'application/json',
      csv: 'text/csv; charset=utf-8',
      jsonl: 'application/x-ndjson',
      svg: 'image/svg+xml',
      png: 'image/png',
      html: 'text/html; charset=utf-8',
    });
  });

  it('omits the training curves if the evaluation has no metrics', async () => {
    const files = await artifactsOf(madeUpEvaluation(digitNames).evaluation);
    expect(files.map(({ name }) => name)).toEqual([...numbers, ...matrix, ...rest]);
    expect(summarySchema.parse(JSON.parse(textOf(files, 'summary.json'))).training).toBeUndefined();
    expect(textOf(files, 'report.html')).not.toContain('Loss over');
  });

  it('returns the same bytes at any time, in any time zone and in any language', async () => {
    const { evaluation } = madeUpEvaluation(fashionNames, { metrics: madeUpMetrics(2, 700) });
    vi.stubEnv('TZ', 'UTC');
    const first = await artifactsOf(evaluation);
    vi.stubEnv('TZ', 'Pacific/Apia');
    vi.stubEnv('LC_ALL', 'ar_EG.UTF-8');
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2031-05-06T07:08:09Z') });
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    for (const name of ['NumberFormat', 'DateTimeFormat'] as const)
      vi.spyOn(Intl, name).mockImplementation(() => {
        throw new Error(`${name} depends on the language`);
      });
    vi.spyOn(Number.prototype, 'toLocaleString').mockReturnValue('?');
    const second = await artifactsOf(evaluation);
    expect(second.map(({ name, bytes }) => [name, hash('sha256', bytes, 'hex')])).toEqual(
      first.map(({ name, bytes }) => [name, hash('sha256', bytes, 'hex')]),
    );
  });

  it('changes only the files whose input has changed', async () => {
    const { evaluation } = madeUpEvaluation(digitNames);
    const one = await artifactsOf(evaluation);
    const other = await artifactsOf({ ...evaluation, wrong: evaluation.wrong.slice(1) });
    const same = one.filter(({ name, bytes }) => Buffer.compare(bytes, fileOf(other, name)) === 0);
    const changed = ['misclassified.jsonl', 'misclassified.png', 'report.html', 'manifest.json'];
    expect(
      one
        .map(({ name }) => name)
        .filter((name) => !same.some((each) => each.name === name))
        .toSorted(),
    ).toEqual(changed.toSorted());
  });
});

/** Parses CSV according to RFC 4180. */
function parseCsv(text: string): string[][] {
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)])
    .map((fields) =>
      fields.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? ''),
    );
}
