import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  evaluationDocument,
  evaluationLines,
  evaluationRows,
} from '../../../../cli/terminal/evaluation-report.ts';
import { paint, type Line } from '../../../../cli/terminal/styled-line.ts';
import { createLogger } from '../../../../cli/terminal/log.ts';
import { Output } from '../../../../cli/terminal/output.ts';
import { predictionLines } from '../../../../cli/terminal/prediction-text.ts';
import { runsTable } from '../../../../cli/terminal/runs-table.ts';
import { setupProgress } from '../../../../cli/terminal/setup-progress.ts';
import { summaryLines } from '../../../../cli/terminal/summary.ts';
import {
  parseMessage,
  workerMessage,
  coordinatorMessage,
} from '../../../../shared/wire/messages.ts';
import { visibleJson } from '../../../../shared/printable.ts';
import { parseRunRecord } from '../../../../shared/files/run-schema.ts';
import { rowLines } from '../../../../worker/native/doctor-rows.ts';
import { engineFixture } from '../../../fixtures/engine-identity.ts';
import { sampleRun } from '../../../fixtures/run-record.ts';

/**
 * Characters that control a terminal, hide text or reverse it: ESC, CSI, OSC, C1, BEL, CR,
 * backspace, BiDi, zero width.
 */
const attacks = [
  '\u001b[2J\u001b]0;title\u0007',
  '\u009b2J\u009d0;title\u009c',
  '\r\b\b\bfake\u007f',
  '\u202etxt.exe\u202c \u2066iso\u2069',
  '\u200b\u200d\u200e\u2060\ufeff\u00ad\u061c',
  'line\nfeed\u2028\u2029\u0085',
  '\ud800\u{e0041}',
];
const hostile = attacks.join('');
const DANGER = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;

/** The text without mnist-dist's own styling, cursor movements and line endings. */
function withoutOurs(text: string): string {
  // oxlint-disable-next-line no-control-regex -- this pattern must match them
  return text.replaceAll(/\u001b\[[0-9;]*m|\r\n|\r(\u001b\[\d+A)?\u001b\[[KJ]|\n/g, '');
}

function outputs(): { output: Output; written: () => string; isColoured: boolean }[] {
  const streams = [
    { isTTY: true, environment: { LANG: 'C.UTF-8' } },
    { isTTY: true, environment: { NO_COLOR: '1' } },
    { isTTY: true, environment: { TERM: 'dumb' } },
    { isTTY: false, environment: {} },
  ];
  return streams.map(({ isTTY, environment }, index) => {
    let written = '';
    const stream = { isTTY, columns: 80, write: (text: string) => (written += text) };
    return {
      output: new Output(stream, environment),
      written: () => written,
      isColoured: index === 0,
    };
  });
}

describe('the output to a terminal, a pipe or a file', () => {
  test.each(attacks)('escapes lines: %j', (attack) => {
    for (const { output, written, isColoured } of outputs()) {
      output.write(attack, [attack, paint(attack, 'bold')]);
      output.csv([attack, 1], ['=1', attack]);
      output.json({ [attack]: attack });
      output.draw([paint(attack, 'cyan'), attack]);
      output.write('done');
      output.draw('');
      expect(withoutOurs(written())).not.toMatch(DANGER);
      expect(written().includes('\u001b[1m')).toBe(isColoured);
    }
  });

  test('keeps the meaning of a JSON document', () => {
    const document = { text: hostile.replace('\ud800', ''), list: [{ '\u202e': '\u009b' }] };
    for (const { output, written } of outputs()) {
      output.json(document);
      expect(JSON.parse(written())).toEqual(document);
    }
  });

  test.each(['text', 'json'] as const)(
    'escapes log lines as %s, with every kind of field',
    (format) => {
      for (const { output, written } of outputs()) {
        const log = createLogger({
          level: 'debug',
          format,
          destination: output,
          fields: { [hostile]: hostile },
        });
        const fields = {
          worker: hostile,
          err: new Error(hostile),
          error: new Error(hostile),
          list: [hostile],
        };
        for (const level of ['debug', 'info', 'warn', 'error'] as const)
          log[level](fields, hostile);
        expect(withoutOurs(written())).not.toMatch(DANGER);
        expect(written().trimEnd().split('\n')).toHaveLength(4);
      }
    },
  );

  const dataset = {
    test: { samples: 2, images: new Uint8Array(8), labels: Uint8Array.of(0, 1) },
    rows: 2,
    columns: 2,
    classNames: [hostile, `b${hostile}`],
    name: hostile,
    digest: hostile,
  };
  const score = {
    samples: 2,
    correct: 1,
    accuracy: 0.5,
    loss: 1,
    confusion: [
      [0, 1],
      [0, 1],
    ],
  };
  const mistake = { index: 0, true: 0, predicted: 1, loss: 1, probabilities: [0.1, 0.9] };
  const engine = { ...engineFixture, library: hostile, device: hostile };

  test.each<[string, () => readonly Line[]]>([
    [
      'the summary',
      () =>
        summaryLines(
          {
            runDirectory: hostile,
            hasReport: true,
            engine: hostile,
            workers: 1,
            steps: 1,
            seconds: 1,
            waited: 2,
            stepsPerSecond: 1,
            test: { ...score, classNames: dataset.classNames },
            modelSha256: 'a',
          },
          80,
        ),
    ],
    [
      'predict',
      () =>
        predictionLines(
          {
            file: hostile,
            predicted: 1,
            probabilities: [0.1, 0.9],
            picture: { rows: 2, columns: 2, pixels: new Float32Array(4) },
          },
          dataset.classNames,
          80,
          { colour: true, unicode: true },
        ),
    ],
    [
      'runs',
      () =>
        runsTable(
          [
            {
              directory: hostile,
              name: hostile,
              state: 'failed',
              writer: hostile,
              started: hostile,
              step: 1,
              steps: 2,
              evaluation: undefined,
              seconds: 1,
              workers: 1,
              engine: hostile,
              dataset: hostile,
              waited: 1,
              firstLoss: 1,
            },
          ],
          200,
        ),
    ],
    [
      'doctor',
      () => rowLines([{ check: hostile, status: 'failed', detail: hostile, fix: hostile }]),
    ],
  ])('escapes %s', (_, lines) => {
    for (const { output, written } of outputs()) {
      output.write(...lines());
      expect(withoutOurs(written())).not.toMatch(DANGER);
    }
  });

  test('escapes eval in all three formats', () => {
    const evaluation = {
      score,
      misclassified: [mistake],
      dataset,
      engine,
      split: 'test' as const,
      chosen: {
        name: hostile,
        step: 1,
        directory: undefined,
        run: hostile,
        bytes: new Uint8Array(),
      },
    };
    for (const { output, written } of outputs()) {
      // Contains only the parts of a model and a dataset that are printed.
      const asked = evaluation as unknown as Parameters<typeof evaluationLines>[0];
      output.write(...evaluationLines(asked, 80, { colour: true, unicode: true }));
      output.csv(...evaluationRows(asked));
      output.json(evaluationDocument(asked));
      expect(withoutOurs(written())).not.toMatch(DANGER);
    }
  });

  test("escapes set-up's progress messages, which contain a lock owner's name", () => {
    for (const { output, written } of outputs()) {
      const { report, end } = setupProgress(output);
      report({ text: hostile, fraction: 0.5 });
      report({ text: `next ${hostile}` });
      end();
      expect(withoutOurs(written())).not.toMatch(DANGER);
    }
  });
});

describe('text from outside', () => {
  const fence = { run: 'r', term: 1, step: 1 };
  test.each([
    [
      workerMessage,
      {
        kind: 'hello',
        protocol: 2,
        arithmetic: 1,
        version: hostile.slice(0, 32),
        name: hostile.slice(0, 64),
      },
    ],
    [
      workerMessage,
      {
        kind: 'ready',
        fingerprint: '0'.repeat(64),
        engine: { ...engineFixture, library: hostile, device: hostile, processor: hostile },
      },
    ],
    [workerMessage, { kind: 'bye', code: 'USAGE', message: hostile }],
    [coordinatorMessage, { kind: 'bye', code: 'USAGE', message: hostile }],
    [coordinatorMessage, { kind: 'lease', ...fence, task: 'step', parts: [1] }],
  ] as const)('%# has no invisible characters once it is parsed', (schema, message) => {
    const parsed = parseMessage<object>(schema, message);
    for (const text of textsIn(parsed)) expect(text).not.toMatch(DANGER);
  });

  test('in the engine of a modified run.json is shown without invisible characters', () => {
    const description = { ...engineFixture, library: hostile };
    const engine = {
      description,
      fingerprint: 'a'.repeat(64),
      kernel_digest: 'a'.repeat(64),
      reproducible: true,
    };
    const record = parseRunRecord(JSON.stringify({ ...sampleRun, engine }), 'run.json');
    expect(record.engine?.description.library).toMatch(/^\ufffd/);
    expect(record.engine?.description.library).not.toMatch(DANGER);
  });

  test('in JSON for the page has no invisible characters, and is otherwise unchanged', () => {
    const view = { events: [{ message: hostile }], curve: [[1, 2]], name: 'grün 日本' };
    for (const text of textsIn(JSON.parse(visibleJson(view)))) expect(text).not.toMatch(DANGER);
    expect(visibleJson({ name: 'grün 日本', list: [1, 'a'] })).toBe(
      '{"name":"grün 日本","list":[1,"a"]}',
    );
  });
});

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

test('no other file writes to a terminal', () => {
  const root = fileURLToPath(new URL('../../../..', import.meta.url));
  const folders = ['cli', 'coordinator', 'worker', 'artifacts', 'dashboards', 'shared'];
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(folder, file))
      .toSorted(),
  );
  const writers = files.filter((file) =>
    /process\.(stdout|stderr)\.write|console\.|\\u001b\[|\\x1b/.test(
      readFileSync(join(root, file), 'utf8'),
    ),
  );
  // cli/checked-start.ts prints two fixed sentences when the limit on open files is too low to load
  // more code. The files in worker/native are scripts for a child process, whose output is read as
  // JSON.
  expect(writers).toEqual([
    'cli/checked-start.ts',
    'cli/terminal/output.ts',
    'cli/terminal/styled-line.ts',
    'worker/native/cuda.ts',
    'worker/native/smoke.ts',
  ]);
});
