import { describe, expect, test } from 'vitest';
import * as progressLines from '../../../../cli/terminal/progress-line.ts';
import { paint, plainText } from '../../../../cli/terminal/styled-line.ts';
import { Output } from '../../../../cli/terminal/output.ts';
import { styleOf } from '../../../../cli/terminal/style.ts';
import { shortcomingText, summaryLines, type Summary } from '../../../../cli/terminal/summary.ts';
import { noCounts } from '../../../../coordinator/decisions/state.ts';
import { shortcomingOf } from '../../../../shared/evaluation/shortcoming.ts';
import type { StepInfo } from '../../../../cli/terminal/progress-tracker.ts';
import { openTerminal } from '../../../../cli/terminal/live-terminal.ts';

const { lossText } = progressLines;

function progressLine(...given: Parameters<typeof progressLines.progressLine>): string {
  return plainText(progressLines.progressLine(...given));
}

function epochLine(...given: Parameters<typeof progressLines.epochLine>): string {
  return plainText(progressLines.epochLine(...given));
}

function summaryText(shown: Summary, width: number): string {
  return summaryLines(shown, width).map(plainText).join('\n');
}

const state = {
  epoch: 2,
  epochs: 5,
  step: 2500,
  totalSteps: 10_000,
  loss: 0.14321,
  accuracy: 0.95614,
  imagesPerSecond: 41_234.4,
  secondsLeft: 83,
  joined: 2,
  lost: 0,
  page: undefined,
  readiness: { isWaiting: false, ready: 2, needed: 1, coming: 0, late: 0 },
};

const summary: Summary = {
  runDirectory: 'runs/r1',
  hasReport: true,
  engine: 'wasm',
  workers: 2,
  steps: 9375,
  seconds: 91,
  waited: 30,
  stepsPerSecond: 153.7,
  test: {
    loss: 0.08,
    accuracy: 0.9,
    confusion: [
      [8, 2],
      [0, 10],
    ],
    classNames: ['cat', 'dog\u001b[2J'],
  },
  modelSha256: 'ab'.repeat(32),
};

describe('progressLine', () => {
  test('shows all parts on a wide terminal', () => {
    expect(progressLine(state, 200)).toBe(
      `epoch 2/5  ${'#'.repeat(7)}${'-'.repeat(23)}  2500/10000  ` +
        `loss 0.1432  accuracy 95.61 %  41,234 images/s  2 workers  1:23 left`,
    );
  });
  test('fits any width and drops the step count last', () => {
    for (let width = 1; width <= 160; width++) {
      const line = progressLine(state, width);
      expect(line.length).toBeLessThanOrEqual(width);
      if (width >= 10) expect(line).toContain('2500/10000');
    }
    expect(progressLine(state, 80)).toContain('loss 0.1432');
  });
  test('shows lost workers, late shards and the page if they fit', () => {
    const line = progressLine(
      {
        ...state,
        joined: 3,
        lost: 1,
        page: 'http://127.0.0.1:9464/',
        readiness: { ...state.readiness, late: 4 },
      },
      200,
    );
    expect(line).toMatch(
      / 2 workers \(3 joined, 1 lost\) {2}1:23 left {2}4 late {2}http:\/\/127\.0\.0\.1:9464\/$/,
    );
    expect(progressLine({ ...state, page: 'http://127.0.0.1:9464/' }, 100)).not.toContain('http');
  });
  test('leaves out unknown values and shows values that are not finite', () => {
    const line = progressLine(
      { ...state, imagesPerSecond: undefined, secondsLeft: undefined, loss: Infinity },
      200,
    );
    expect(line).not.toContain('left');
    expect(line).toContain('loss Infinity');
  });
});

test('a loss has four decimals, or an exponent if they would all be 0', () => {
  expect([lossText(0), lossText(0.00001), lossText(2.3)]).toEqual(['0.0000', '1.00e-5', '2.3000']);
});

const evaluated = {
  set: 'test',
  epoch: 1,
  step: 50,
  samples: 100,
  loss: 0.2,
  correct: 97,
} as const;

test.each(['test', 'validation'] as const)(
  'an epoch line shows the training and %s results, and never NaN',
  (set) => {
    const shared = { epoch: 1, epochs: 10, set, evaluation: { loss: 0.1, accuracy: 0.97 } };
    const train = { loss: 0.3, accuracy: 0.91 };
    expect(epochLine({ ...shared, train, seconds: 4.21 }, 120)).toBe(
      `epoch  1/10  loss 0.3000  accuracy 91.00 %  ${set} loss 0.1000  accuracy 97.00 %  4.2 s`,
    );
    expect(epochLine({ ...shared, train: undefined, seconds: 4 }, 80)).not.toContain('NaN');
  },
);

test('an epoch line fits 80 columns with all values', () => {
  const epoch = {
    epoch: 100,
    epochs: 100,
    seconds: 12_345.6,
    train: { loss: 1e-9, accuracy: 1 },
    set: 'validation' as const,
    evaluation: { loss: 123_456, accuracy: 1 },
  };
  expect(epochLine(epoch, 80).length).toBeLessThanOrEqual(80);
  expect(epochLine({ ...epoch, epoch: 1, epochs: 5, seconds: 4.2 }, 80)).toBe(
    'epoch 1/5  loss 1.00e-9, 100.00 %  validation 1.23e+5, 100.00 %  4.2 s',
  );
});

test('a run that is waiting for workers shows neither a rate nor a time left', () => {
  const readiness = { isWaiting: true, ready: 1, needed: 2, coming: 1, late: 0 };
  const line = progressLine({ ...state, readiness }, 200);
  expect(line).toMatch(/2500\/10000 {2}loss 0\.1432 {2}accuracy 95\.61 % {2}waiting for workers: /);
  expect(line).toMatch(/: 1 of 2 ready, 1 preparing$/);
  expect(plainText(progressLines.waitLine(readiness, 12, 79))).toBe(
    'waiting for workers: 1 of 2 ready, 1 preparing  0:12',
  );
});

describe("a model's shortcoming", () => {
  const confusion = [
    [0, 50],
    [0, 50],
  ];
  test('is explained, with a fix, if the model guesses or has become worse', () => {
    const judged = { accuracy: 0.5, loss: 9, confusion };
    const guessing = shortcomingOf(judged, 1);
    expect(guessing).toEqual({ kind: 'guessing', guess: 0.5 });
    expect(guessing && shortcomingText(guessing, judged, 900)).toMatch(
      /guessing: accuracy 50\.00 %; .* 50\.00 %; try a smaller --learning-rate \(it was 900\)/,
    );
    const risen = shortcomingOf({ ...judged, accuracy: 0.9 }, 1);
    expect(risen).toEqual({ kind: 'risen', from: 1 });
    expect(risen && shortcomingText(risen, judged, 0.1)).toContain('first 1.0000, now 9.0000');
  });
  test('is undefined if the model has learned, or if there is only one class', () => {
    expect(shortcomingOf({ accuracy: 0.9, loss: 1, confusion }, 1)).toBeUndefined();
    expect(shortcomingOf({ accuracy: 0.9, loss: 1, confusion }, undefined)).toBeUndefined();
    expect(
      shortcomingOf(
        {
          accuracy: 1,
          loss: 1,
          confusion: [
            [5, 0],
            [0, 0],
          ],
        },
        undefined,
      ),
    ).toBeUndefined();
    // A run on MNIST once ended with this result without a warning.
    const mnist = Array.from({ length: 10 }, (_, i) => [i === 1 ? 1135 : 985]);
    expect(shortcomingOf({ accuracy: 0.1379, loss: 1e6, confusion: mnist }, undefined)?.kind).toBe(
      'guessing',
    );
  });
});

describe('the summary', () => {
  test('has the accuracy, a matrix with a row per true class, the files and the engine', () => {
    const lines = summaryText(summary, 80).split('\n');
    expect(lines[0]).toBe('Test accuracy 90.00 %, loss 0.0800 (20 images)');
    expect(lines.slice(2, 6)).toEqual([
      'Confusion matrix: rows true, columns predicted',
      'true             0   1     recall',
      '0 cat            8   2    80.00 %',
      '1 dog\\u{1b}[2J   .  10   100.00 %',
    ]);
    expect(lines).toContain('model     runs/r1/model.safetensors');
    expect(lines).toContain('export    mnist-dist export runs/r1 --to onnx');
    expect(lines).toContain('trained   9,375 steps in 1:01 with 2 workers');
    expect(lines).toContain('waited    0:30 for workers');
    expect(lines).toContain('speed     154 steps/s between evaluations');
    const unknown = summaryText({ ...summary, waited: undefined, stepsPerSecond: undefined }, 80);
    expect(unknown).toContain('trained   9,375 steps in 1:31 with 2 workers');
    expect(unknown).not.toMatch(/waited|speed|rate /);
    expect(summaryText({ ...summary, lastRate: 0.000_123_4 }, 80)).toContain(
      '\nrate      0.0001234 in the last step\n',
    );
  });
  test('has short class names as column headings', () => {
    const test = { ...summary.test, classNames: ['0', '1'] };
    expect(summaryText({ ...summary, test }, 80)).toContain(
      'true   0   1     recall\n0      8   2    80.00 %\n',
    );
  });
  test('has the most frequent mistakes if the matrix is too wide', () => {
    const text = summaryText(summary, 20);
    expect(text).toContain('2  cat taken for dog');
    expect(text).not.toContain('recall');
  });
});

function terminal(isTTY: boolean, logFormat: 'text' | 'json' = 'text') {
  const written: string[] = [];
  const time = { now: 0, tick: () => {}, stopped: false, every: 0 };
  const opened = openTerminal({
    output: new Output(
      { isTTY, columns: 101, write: (text) => written.push(text) },
      { NO_COLOR: '1' },
    ),
    logLevel: 'info',
    logFormat,
    clock: () => time.now,
    ticker: (task, milliseconds) => {
      time.tick = task;
      time.every = milliseconds;
      return () => (time.stopped = true);
    },
  });
  return { ...opened, written, time };
}

function steps(from: number, to: number, each: (info: StepInfo) => void): void {
  for (let step = from; step <= to; step++) {
    each({
      step,
      totalSteps: 100,
      epoch: step <= 50 ? 1 : 2,
      epochs: 2,
      samples: 32,
      loss: 0.5,
      correct: 16,
    });
  }
}

/** The lines that a terminal shows after these writes: the permanent ones, then the live line. */
function shown(written: readonly string[]): string[] {
  return written
    .join('')
    .split('\n')
    .map((line) => line.split('\u001b[K').at(-1) ?? '');
}

describe('a live terminal', () => {
  test('is redrawn by a timer ten times per second, not after each step', () => {
    const { progress, written, time } = terminal(true);
    time.tick();
    expect(written).toEqual([]);
    steps(1, 40, (info) => progress.step(info));
    expect(written).toEqual([]);
    expect(time.every).toBe(100);
    time.now = 1000;
    time.tick();
    // There were 39 intervals between steps in the second since the first step.
    expect(shown(written).at(-1)).toMatch(
      /^epoch 1\/2 .* 40\/100 {2}loss 0\.5000 {2}accuracy 50\.00 % {2}1,248 images\/s .*0:02 left$/,
    );
    time.tick();
    expect(written).toHaveLength(1);
  });
  test('shows warnings and epochs above the live line, and removes it at the end', () => {
    const { progress, log, written, time } = terminal(true);
    steps(1, 50, (info) => progress.step(info));
    time.now = 2000;
    time.tick();
    log.warn({}, 'worker w1 is late');
    progress.evaluation(evaluated);
    const lines = shown(written);
    expect(lines[0]).toMatch(/warning: worker w1 is late$/);
    expect(lines[1]).toBe(
      'epoch 1/2  loss 0.5000  accuracy 50.00 %  test loss 0.2000  accuracy 97.00 %  2.0 s',
    );
    expect(lines[2]).toContain('50/100');
    progress.summary(summary);
    progress.close();
    expect(time.stopped).toBe(true);
    expect(shown(written).at(-1)).toBe('');
    expect(written.join('')).toContain('Test accuracy 90.00 %');
  });
  test('shows the current state of the run', () => {
    const { progress, written, time } = terminal(true);
    const traffic = {
      sentBytes: 0,
      receivedBytes: 0,
      queuedBytes: 0,
      roundTripMilliseconds: undefined,
    };
    const at = (
      condition: 'training' | 'late' | 'idle' | 'preparing',
      phase: 'running' | 'gathering',
    ) => ({
      phase,
      awaited: 2,
      engine: undefined,
      delivered: new Map<string, number>(),
      counts: { ...noCounts, stragglerSteps: 3 },
      workers: ['w0', 'w1'].map((name, i) => ({
        name,
        condition: i === 0 ? condition : ('training' as const),
        engine: undefined,
        traffic,
      })),
    });
    let now = at('preparing', 'gathering');
    progress.attach(() => now);
    time.now = 3000;
    time.tick();
    expect(shown(written).at(-1)).toBe('waiting for workers: 1 of 2 ready, 1 preparing  0:03');
    now = at('late', 'running');
    progress.event('lease_again');
    steps(1, 10, (info) => progress.step(info));
    time.now = 4000;
    time.tick();
    expect(shown(written).at(-1)).toMatch(/2 workers.* {2}1 late$/);
    now = at('training', 'running');
    time.now = 4100;
    time.tick();
    expect(shown(written).at(-1)).not.toContain('late');
  });
  test('restarts its averages in each epoch', () => {
    const { progress, written, time } = terminal(true);
    steps(1, 50, (info) => progress.step(info));
    steps(51, 52, (info) => progress.step({ ...info, loss: 0.25, correct: 32 }));
    time.now = 100;
    time.tick();
    expect(shown(written).at(-1)).toContain('loss 0.2500  accuracy 100.00 %');
  });
});

describe('a file or a pipe', () => {
  test('gets a line every five seconds, a line per epoch, and the summary', () => {
    const { progress, written, time } = terminal(false);
    steps(1, 50, (info) => progress.step(info));
    time.now = 5000;
    expect(time.every).toBe(5000);
    time.tick();
    time.tick();
    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(/^\d\d:\d\d:\d\d epoch 1\/2 {2}50\/100 {2}loss 0\.5000/);
    progress.evaluation(evaluated);
    progress.summary(summary);
    expect(written.join('')).not.toContain('\u001b');
    expect(time.stopped).toBe(true);
  });
  test.each([true, false])('gets one JSON object per line (TTY %s)', (isTTY) => {
    const { progress, written, time } = terminal(isTTY, 'json');
    steps(1, 50, (info) => progress.step(info));
    time.now = 5000;
    time.tick();
    progress.evaluation(evaluated);
    progress.summary(summary);
    const events = written
      .join('')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).event);
    expect(events).toEqual(['progress', 'evaluation', 'summary']);
  });
});

test('NO_COLOR and dumb terminals disable colours', () => {
  const stream = { isTTY: true, write: () => true };
  expect(styleOf(stream, { LANG: 'C.UTF-8' })).toEqual({ colour: true, unicode: true });
  expect(styleOf(stream, { NO_COLOR: '1' })).toEqual({ colour: false, unicode: false });
  expect(styleOf(stream, { NO_COLOR: '' }).colour).toBe(true);
  expect(styleOf(stream, { TERM: 'dumb' }).colour).toBe(false);
});

describe('a terminal that becomes narrower', () => {
  test('erases all rows of the wrapped live line', () => {
    const written: string[] = [];
    const stream = { isTTY: true, columns: 100, write: (text: string) => written.push(text) };
    const screen = new Output(stream, {});
    screen.draw([paint('x'.repeat(90), 'cyan')]);
    stream.columns = 40;
    screen.draw('short');
    // A line of 90 columns takes up three rows of 40.
    expect(written.at(-1)).toBe('\r\u001b[2A\u001b[Jshort');
    screen.draw('shorter');
    expect(written.at(-1)).toBe('\r\u001b[Kshorter');
  });
});

test('a terminal of unknown size has 80 columns', () => {
  const written: string[] = [];
  const screen = new Output({ isTTY: true, columns: 0, write: (text) => written.push(text) }, {});
  expect(screen.liveWidth).toBe(79);
  screen.draw('x'.repeat(79));
  screen.draw('short');
  expect(written.at(-1)).toBe('\r\u001b[Kshort');
});

describe('--no-progress', () => {
  test('shows only the permanent lines', () => {
    const written: string[] = [];
    const { progress } = openTerminal({
      output: new Output({ isTTY: true, columns: 100, write: (text) => written.push(text) }, {}),
      logLevel: 'info',
      logFormat: 'text',
      isQuiet: true,
      ticker: () => {
        throw new Error('nothing is drawn');
      },
    });
    steps(1, 50, (info) => progress.step(info));
    progress.evaluation(evaluated);
    progress.close();
    expect(written.join('')).toContain('test loss');
  });
});
