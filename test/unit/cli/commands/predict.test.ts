import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { predict } from '../../../../cli/commands/predict.ts';
import { predictionLines, type Prediction } from '../../../../cli/terminal/prediction-text.ts';
import { colouredText, plainText } from '../../../../cli/terminal/styled-line.ts';
import { pictureLines } from '../../../../cli/terminal/terminal-picture.ts';
import { probabilities } from '../../../../shared/digit/network.ts';
import { createReferenceEngine } from '../../../../worker/engines/reference.ts';
import { jpegFiles } from '../../../fixtures/dataset/jpeg-files.ts';
import { everyLayerModel } from '../../../fixtures/engine/models.ts';
import { createFixture } from '../../../fixtures/engine/engine-cases.ts';
import { pngFile } from '../../../fixtures/png-file.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { captured } from '../../../fixtures/captured-output.ts';
import { configuration, modelBytes, writeRun } from '../../../fixtures/model-file.ts';
import { inputCount, type ModelShape } from '../../../../shared/arithmetic/model-shape.ts';
import { watchSignals } from '../../../../cli/processes/signals.ts';

let folder: string;
let runsDir: string;
afterEach(() => vi.unstubAllEnvs());
beforeEach(() => {
  vi.stubEnv('LC_ALL', 'C');
  folder = temporaryFolder();
  runsDir = join(folder, 'runs');
  mkdirSync(join(runsDir, 'a'), { recursive: true });
  writeRun(join(runsDir, 'a'));
});

/** A gray 16 x 12 picture with a horizontal or vertical stroke. */
function write(name: string, isLying: boolean, ink = 0, paper = 255): string {
  const path = join(folder, name);
  const isInk = (row: number, column: number) =>
    isLying
      ? row >= 9 && row < 11 && column >= 1 && column < 9
      : row >= 3 && row < 14 && column === 8;
  writeFileSync(
    path,
    pngFile({ colourType: 0, bits: 8 }, 16, 12, (row, column) => [
      isInk(row, column) ? ink : paper,
    ]),
  );
  return path;
}

const ask = (files: readonly string[], format: 'text' | 'json' | 'csv', model?: string) =>
  predict({ config: undefined, runsDir, format, model, data: undefined }, { operands: files });

describe('the forward pass', () => {
  test("matches the reference engine's", () => {
    for (const options of [{ hidden: [16] }, { hidden: [12, 7] }, { model: everyLayerModel }]) {
      const { shape, weights, data } = createFixture({ ...options, evaluationRows: 50 });
      const pixels = inputCount(shape.model);
      const inputs = Float32Array.from(data.images.subarray(0, 50 * pixels), (byte) => byte / 255);
      const width = 2 + shape.model.classes;
      const expected = new Float32Array(50 * width);
      createReferenceEngine(shape).predict(weights, inputs, new Int32Array(50), expected);
      for (let row = 0; row < 50; row++) {
        const found = probabilities(
          shape.model,
          weights,
          inputs.subarray(row * pixels, (row + 1) * pixels),
        );
        expect(found.indexOf(Math.max(...found))).toBe(expected[row * width]);
        // The engine rounds to float32.
        for (const [index, value] of found.entries())
          expect(Math.abs(value - (expected[row * width + 2 + index] ?? 9))).toBeLessThan(1e-7);
      }
    }
  });
});

describe('predict', () => {
  test('prints the digit of each picture with all probabilities as text', async () => {
    const printed = captured();
    const files = [write('lying.png', true), write('standing.png', false)];
    expect(await ask(files, 'text')).toBe(0);
    expect(printed.error).toBe('');
    expect(printed.out).toContain(`${join(runsDir, 'a', 'model.safetensors')}, step 7`);
    expect(printed.out).toMatch(new RegExp(`${files[0]}: lying, \\d+\\.\\d\\d %`));
    expect(printed.out).toMatch(new RegExp(`${files[1]}: standing, `));
    expect(printed.out.match(/^.* lying #* +\d+\.\d\d %$/gm)).toHaveLength(2);
  });

  test('accepts light ink on a dark background, and prints JSON', async () => {
    const files = [
      write('dark.png', true),
      write('light.png', true, 250, 30),
      write('standing.png', false),
    ];
    const printed = captured();
    expect(await ask(files, 'json', join(runsDir, 'a'))).toBe(0);
    const { images, skipped, ...model } = JSON.parse(printed.out);
    expect(model).toEqual({
      model: join(runsDir, 'a', 'model.safetensors'),
      step: 7,
      class_names: ['lying', 'standing'],
    });
    expect(skipped).toEqual([]);
    expect(images).toMatchObject([
      { file: files[0], predicted: 0, class_name: 'lying' },
      { file: files[1], predicted: 0, class_name: 'lying' },
      { file: files[2], predicted: 1, class_name: 'standing' },
    ]);
    expect(images[1].probabilities).toEqual(images[0].probabilities);
    for (const { probabilities: all, predicted } of images) {
      expect(all[0] + all[1]).toBeCloseTo(1, 12);
      expect(all[predicted]).toBe(Math.max(...all));
    }
  });

  test('classifies JPEGs', async () => {
    const printed = captured();
    const path = join(folder, 'photo.png');
    writeFileSync(path, jpegFiles[0].bytes);
    expect(await ask([path], 'csv')).toBe(0);
    expect(printed.out.split('\r\n')[1]).toMatch(new RegExp(`^${path},`));
  });

  test('prints CSV with one line per picture', async () => {
    const good = write('lying, or not.png', true);
    const printed = captured();
    expect(await ask([good, join(folder, 'none.png')], 'csv')).toBe(36);
    const [head, line, ...rest] = printed.out.split('\r\n');
    expect(head).toBe('file,predicted,class,probability of lying,probability of standing');
    expect(line).toMatch(new RegExp(`^"${good}",0,lying,0\\.\\d+,`));
    expect(rest).toEqual(['']);
    expect(printed.error).toContain('none.png: there is no such file');
  });

  test.each(['text', 'json'] as const)(
    'skips and reports files that are not pictures, and fails at the end (%s)',
    async (format) => {
      const good = write('good.png', true);
      const blank = write('blank.png', true, 255);
      const text = join(folder, 'text.png');
      writeFileSync(text, 'no picture');
      const printed = captured();
      expect(await ask([text, blank, good, join(folder, 'none.png')], format)).toBe(36);
      const reasons = [
        `${text}: it is not a PNG or a JPEG`,
        `${blank}: the picture is blank`,
        `${join(folder, 'none.png')}: there is no`,
      ];
      for (const reason of reasons) expect(printed.error).toContain(`mnist-dist: ${reason}`);
      expect(printed.out).toContain(good);
      if (format === 'json') {
        const { images, skipped } = JSON.parse(printed.out);
        expect(images).toMatchObject([{ file: good }]);
        expect(skipped.map(({ reason }: { reason: string }) => reason)).toEqual(
          reasons.map((reason) => expect.stringContaining(reason)),
        );
      }
    },
  );

  test('reports a wrong model as an error in the model, not in the pictures', async () => {
    writeFileSync(join(runsDir, 'a', 'model.safetensors'), 'damaged');
    await expect(ask([write('good.png', true)], 'text')).rejects.toMatchObject({ code: 'DATA' });
  });

  test('rejects a model that computes too many values', async () => {
    const large: ModelShape = {
      rows: 256,
      columns: 256,
      layers: [
        {
          kind: 'conv2d',
          filters: 4096,
          kernel: [1, 1],
          strides: [1, 1],
          padding: 'valid',
          activation: 'relu',
        },
        { kind: 'max_pooling2d', pool: [256, 256], strides: [256, 256], padding: 'valid' },
        { kind: 'flatten' },
      ],
      classes: 2,
    };
    const path = join(folder, 'large.safetensors');
    const batch = { batchSize: 1, virtualShards: 1 };
    writeFileSync(path, modelBytes({ ...configuration, ...batch, model: large }));
    await expect(ask([write('good.png', true)], 'text', path)).rejects.toMatchObject({
      code: 'LIMIT',
      message: expect.stringContaining(`${path} computes 268505090 values`),
    });
  });

  test('lets signals end the process immediately while it computes', async () => {
    captured();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const before = process.listeners(signal);
      onTestFinished(() => before.forEach((listener) => process.on(signal, listener)));
    }
    watchSignals();
    expect(process.listenerCount('SIGINT')).toBeGreaterThan(0);
    expect(await ask([write('good.png', true)], 'text')).toBe(0);
    for (const signal of ['SIGINT', 'SIGTERM']) expect(process.listenerCount(signal)).toBe(0);
  });
});

test.each([NaN, Infinity])('predict rejects a model whose weights are %d', async (weight) => {
  const path = join(folder, 'diverged.safetensors');
  const { classes } = configuration.model;
  const inputs = inputCount(configuration.model);
  const weights = new Float32Array(inputs * 2 + 2 + 2 * classes + classes).fill(weight);
  writeFileSync(path, modelBytes(configuration, weights));
  const printed = captured();
  await expect(ask([write('good.png', true)], 'csv', path)).rejects.toMatchObject({
    code: 'DIVERGED',
    message: expect.stringContaining(`the probabilities of ${path}`),
  });
  expect(printed.out).not.toContain('-1');
});

describe('the text of a prediction', () => {
  const plainStyle = { colour: false, unicode: false };
  const picture = { rows: 4, columns: 2, pixels: Float32Array.of(1, 0, 1, 0.4, 0, 0.6, 0, 0) };
  const prediction: Prediction = {
    file: 'a\u001b[2J.png',
    picture,
    predicted: 1,
    probabilities: [0.25, 0.75],
  };

  test('shows the picture beside the bars, or no picture on a narrow terminal', () => {
    const narrow = predictionLines(prediction, ['0', '1'], 36, plainStyle).map(plainText);
    expect(narrow).toEqual([
      'a\\u{1b}[2J.png: 1, 75.00 %',
      `0 ${'#'.repeat(6).padEnd(24)}  25.00 %`,
      `1 ${'#'.repeat(18).padEnd(24)}  75.00 %`,
    ]);
    const [hostile = ''] = predictionLines(prediction, ['0', 'one\u0007'], 36, plainStyle);
    expect(plainText(hostile)).toContain(': one\\u{7}, 75.00 %');
    const wide = predictionLines(prediction, ['0', '1'], 40, plainStyle).map(plainText);
    expect(wide.slice(1)).toEqual(narrow.slice(1).map((line, i) => `${['@:', ' -'][i]}   ${line}`));
  });

  test('shows only the most likely classes when there are many', () => {
    const many = Array.from({ length: 30 }, (_, i) => (i === 20 ? 0.7 : 0.01));
    const lines = predictionLines(
      { ...prediction, predicted: 20, probabilities: many },
      [],
      10,
      plainStyle,
    ).map(plainText);
    expect(lines).toHaveLength(11);
    expect(lines[1]).toMatch(/^20 #+ +70\.00 %/);
  });

  test('is drawn in grays, half blocks or ASCII, depending on the terminal', () => {
    expect(pictureLines(picture, plainStyle).map(plainText)).toEqual(['@:', ' -']);
    expect(pictureLines(picture, { colour: false, unicode: true }).map(plainText)).toEqual([
      '█ ',
      ' ▀',
    ]);
    const [first = []] = pictureLines(picture, { colour: true, unicode: true });
    expect(colouredText(first)).toBe(
      '\u001b[38;5;255;48;5;255m▀\u001b[0m\u001b[38;5;232;48;5;241m▀\u001b[0m',
    );
  });
});
