import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { data } from '../../../../cli/commands/data.ts';
import { datasetLines } from '../../../../cli/terminal/dataset-text.ts';
import { classSheetSvg } from '../../../../artifacts/report/class-sheet.ts';
import { parseDataset } from '../../../../shared/dataset/dataset.ts';
import { captured } from '../../../fixtures/captured-output.ts';
import { concatenate, imagesFile, labelsFile } from '../../../fixtures/dataset/idx-files.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

afterEach(() => vi.unstubAllEnvs());

const options = {
  config: undefined,
  imageSize: undefined,
  testSplit: 0.25,
  out: undefined,
  format: 'text',
} as const;

function csv(): string {
  const path = join(temporaryFolder(), 'train.csv');
  writeFileSync(path, '0,1,2,3,4\n2,0,255,255,0\n0,9,9,9,9\n1,8,8,8,8\n');
  return path;
}

describe('data', () => {
  test('prints counts, size, digest and classes, and what was done to the files', async () => {
    vi.stubEnv('LC_ALL', 'C');
    const printed = captured();
    const path = csv();
    expect(await data(options, { operands: [path] })).toBe(0);
    const lines = printed.out.split('\n');
    expect(lines[0]).toBe(`${path}: CSV`);
    expect(lines.slice(2, 6)).toEqual([
      'training  3 images',
      'test      1 images',
      'pixels    2 x 2',
      'classes   10',
    ]);
    expect(printed.out).toMatch(/sha256 {4}[0-9a-f]{64}\nnote {6}the last 1 of 4 samples/);
    expect(printed.out).toMatch(/^ {4}0 {2}0 +2 +0$/m);
    expect(printed.out).toMatch(/^ {4}1 {2}1 +0 +1$/m);
  });

  test('prints JSON and CSV with the same counts', async () => {
    const printed = captured();
    await data({ ...options, format: 'csv' }, { operands: [csv()] });
    expect(printed.out.split(/\r?\n/).slice(0, 4)).toEqual([
      'class,name,training,test',
      '0,0,2,0',
      '1,1,0,1',
      '2,2,1,0',
    ]);
    printed.out = '';
    await data({ ...options, format: 'json' }, { operands: [csv()] });
    expect(JSON.parse(printed.out)).toMatchObject({
      form: 'csv',
      name: null,
      rows: 2,
      train_samples: 3,
      classes: expect.arrayContaining([{ class: 2, name: '2', train_samples: 1, test_samples: 0 }]),
    });
  });

  test('writes a contact sheet with the first samples of each class', async () => {
    captured();
    const out = join(temporaryFolder(), 'new', 'sheet');
    expect(await data({ ...options, out }, { operands: [csv()] })).toBe(0);
    const { width, height } = PNG.sync.read(readFileSync(join(out, 'contact-sheet.png')));
    expect([width, height]).toEqual([2 * 792, 2 * 664]);
  });

  test('needs a path for a conversion', async () => {
    await expect(data(options, { operands: [] })).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('a dataset with many classes and large pictures', () => {
  const names = Array.from({ length: 256 }, (_, i) => `<class ${i}>`);
  const half = [
    imagesFile(300, 60, 40),
    labelsFile(Array.from({ length: 300 }, (_, i) => i % 256)),
  ];
  const dataset = parseDataset(concatenate([...half, ...half]), names);

  test('has a sheet of bounded size, in which names are escaped', async () => {
    const svg = await classSheetSvg(dataset);
    expect(svg.match(/<image /g)).toHaveLength(64 + 44);
    expect(svg).toContain('&#60;class 63&#62;');
    expect(svg).toContain('in 256 classes; 64 of them are shown');
  });

  test('is shown in small pictures, side by side', () => {
    const lines = datasetLines({ path: 'x', form: 'idx', dataset, notes: [] }, 80, {
      colour: false,
      unicode: true,
    });
    expect(lines).toContain('The first training image of the first 20 classes');
    const pictures = lines.slice(lines.indexOf('The first training image of the first 20 classes'));
    expect(Math.max(...pictures.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(pictures).toContainEqual(expect.stringContaining('<class 0>'));
  });
});
