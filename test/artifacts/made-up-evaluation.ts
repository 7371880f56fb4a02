import type { Artifact } from '../../artifacts/report/artifact.ts';
import type { Evaluation } from '../../artifacts/report/subject.ts';
import { misclassified } from '../../shared/evaluation/misclassified.ts';
import type { Predictions } from '../../shared/evaluation/predictions.ts';
import { score } from '../../shared/evaluation/score.ts';
import { configurationRecord } from '../../shared/configuration.ts';
import { type MetricsLine, MetricsFormatter, readMetrics } from '../../shared/files/metrics.ts';
import { sampleConfiguration } from '../shared/sample-configuration.ts';
import { sampleEngine } from '../shared/sample-engine.ts';

export const digits = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
export const fashion = [
  ...['T-shirt/top', 'Trouser', 'Pullover', 'Dress', 'Coat'],
  ...['Sandal', 'Shirt', 'Sneaker', 'Bag', 'Ankle boot'],
];
/** Names that would break out of HTML, SVG, CSV or an expression, and one that turns text around. */
export const hostile = [
  '<b>&"',
  "it's, or 'datum'",
  ']]>-->',
  '</style><script>alert(1)</script>',
  '\u202eabc',
  'x'.repeat(64),
];

const [rows, columns] = [6, 5] as const;

/** Predictions of samples whose labels go round; about one in seven is wrong. The same ones every time. */
export function madeUpPredictions(classes: number, samples: number): Predictions {
  const random = generator(classes * 1000 + samples);
  const labels = Uint8Array.from({ length: samples }, (_, index) => index % classes);
  const values = new Float32Array(samples * (2 + classes));
  for (const [index, label] of labels.entries()) {
    const predicted = random() < 1 / 7 ? Math.floor(random() * classes) : label;
    const logits = Array.from(
      { length: classes },
      (_, at) => random() + (at === predicted ? 1 + random() : 0),
    );
    const sum = logits.reduce((a, b) => a + b, 0);
    const probabilities = logits.map((each) => each / sum);
    values.set([predicted, -Math.log(probabilities[label] ?? 1), ...probabilities], index * (2 + classes));
  }
  return { values, labels, classes };
}

export function madeUpEvaluation(
  classNames: readonly string[],
  { samples = 400, metrics }: { readonly samples?: number; readonly metrics?: readonly MetricsLine[] } = {},
): { evaluation: Evaluation; predictions: Predictions } {
  const predictions = madeUpPredictions(classNames.length, samples);
  const subject = {
    ...{ version: '0.1.0', run: 'r1', engine: sampleEngine },
    model: {
      ...{ sha256: 'ef'.repeat(32), step: 90, chain: 'cd'.repeat(32) },
      configuration: configurationRecord(sampleConfiguration),
    },
    dataset: { name: 'Made-up', sha256: 'ab'.repeat(32), split: 'test', rows, columns, classNames },
  } as const;
  const images = Uint8Array.from({ length: samples * rows * columns }, (_, index) => (index * 37) % 256);
  const wrong = misclassified(predictions);
  const lines = metrics && (() => metrics);
  return { evaluation: { subject, score: score(predictions), wrong, images, metrics: lines }, predictions };
}

/** The metrics.jsonl of a run that learns, as it is read back. */
export function madeUpMetrics(epochs: number, stepsPerEpoch: number): MetricsLine[] {
  const random = generator(epochs);
  const formatter = new MetricsFormatter();
  let text = '';
  for (let step = 1; step <= epochs * stepsPerEpoch; step++) {
    const epoch = Math.ceil(step / stepsPerEpoch);
    const loss = Math.fround((2.3 * (0.5 + random())) / (1 + step / 20));
    const correct = Math.floor(32 * (1 - 0.9 / (1 + step / 20)) * (0.9 + random() / 10));
    const line = { step, epoch, samples: 32, loss, correct };
    text += formatter.step({ ...line, milliseconds: 1, weights: 1n, chain: '0'.repeat(64) });
    if (step % stepsPerEpoch === 0)
      text += formatter.evaluation({ step, epoch, samples: 400, loss: loss * 1.1, correct: 300 + epoch });
  }
  return readMetrics(text).lines;
}

/** The file of this name; an error names those that there are. */
export function fileOf(files: readonly Artifact[], name: string): Uint8Array {
  const found = files.find((file) => file.name === name);
  if (found === undefined) throw new Error(`${name} is not among ${files.map((file) => file.name).join()}`);
  return found.bytes;
}

export function textOf(files: readonly Artifact[], name: string): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(fileOf(files, name));
}

/** 0 to 1, from the linear congruential generator of Numerical Recipes. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
