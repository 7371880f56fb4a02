import { readdirSync, readFileSync } from 'node:fs';
import { PNG } from 'pngjs';
import { describe, expect, it } from 'vitest';
import { artifactsOf } from '../../../../artifacts/report/artifacts.ts';
import { dark, light, themed } from '../../../../artifacts/report/colours.ts';
import { contactSheetSvg } from '../../../../artifacts/report/contact-sheet.ts';
import { matrixSvg } from '../../../../artifacts/report/matrix-picture.ts';
import { shortened, widthOf } from '../../../../artifacts/report/drawn-names.ts';
import { toPng } from '../../../../artifacts/report/raster.ts';
import { confusionTable } from '../../../../artifacts/report/tables.ts';
import { digitNames, fashionNames } from '../../../../shared/dataset/class-names.ts';
import { confidence } from '../../../../shared/evaluation/worst.ts';
import { MAX_NUMBERED_CLASSES, MAX_SHEET_SAMPLES } from '../../../../shared/limits.ts';
import { fileOf, textOf } from '../../../fixtures/artifact-files.ts';
import { hostile, madeUpEvaluation, madeUpMetrics } from '../../../fixtures/evaluation.ts';
import { layerOf, textsOf } from '../../../fixtures/svg.ts';

const decode = (png: Uint8Array) => PNG.sync.read(Buffer.from(png));
const svgOf = (text: string) =>
  '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30">' +
  `<rect width="90" height="30" fill="white"/>${text}</svg>`;

async function inkOf(svg: string): Promise<number> {
  const { data } = decode(await toPng(svg));
  return data.filter((byte, index) => index % 4 === 0 && byte < 128).length;
}

describe('toPng', () => {
  it('draws each letter of a string, even if its font is missing', async () => {
    const text = (letters: string, font: string) =>
      svgOf(`<text x="4" y="20" font-family="${font}" font-size="16">${letters}</text>`);
    expect(await inkOf(svgOf(''))).toBe(0);
    expect(await inkOf(text('ABC', 'DejaVu Sans'))).toBeGreaterThan(100);
    expect(await toPng(text('ABC', 'Nowhere'))).toEqual(await toPng(text('ABC', 'DejaVu Sans')));
    expect(await toPng(text('ABC', 'DejaVu Sans'))).not.toEqual(
      await toPng(text('ABD', 'DejaVu Sans')),
    );
    expect(await toPng(text('Ωψ', 'DejaVu Sans'))).not.toEqual(
      await toPng(text('Жщ', 'DejaVu Sans')),
    );
  });

  it('draws two pixels per pixel of the SVG', async () => {
    const { width, height } = decode(await toPng(svgOf('')));
    expect([width, height]).toEqual([180, 60]);
  });

  it('rejects text that is not XML', async () => {
    await expect(toPng('<svg xmlns="http://www.w3.org/2000/svg"><b></svg>')).rejects.toThrow(
      'SVG data parsing failed',
    );
  });
});

describe('the confusion matrix', () => {
  it('shows the counts row by row, each cell shaded by its share of the row', async () => {
    const { evaluation } = madeUpEvaluation(fashionNames, { samples: 30_005 });
    const { confusion } = evaluation.score;
    const svg = await matrixSvg(confusionTable(confusion, fashionNames), light, undefined);
    const written = textsOf(layerOf(svg, 'counts'));
    expect(written.map((text) => Number(text.replace(',', '')))).toEqual(confusion.flat());
    expect(written[0]).toMatch(/^\d,\d{3}$/);
    const cells = [...layerOf(svg, 'cells').matchAll(/fill="([^"]+)" fill-opacity="([^"]+)"/g)];
    const expected = confusion.flatMap((row, actual) => {
      const sum = row.reduce((a, b) => a + b, 0);
      return row.map((cell, predicted) => [
        actual === predicted ? light.hit : light.miss,
        Number(Math.cbrt(cell / sum).toFixed(4)),
      ]);
    });
    expect(cells.map(([, fill, shade]) => [fill, Number(shade)])).toEqual(expected);
    for (const name of fashionNames)
      expect(textsOf(svg).filter((text) => text === name)).toHaveLength(2);
  });

  it('omits counts and empty cells if there are very many classes', async () => {
    const names = Array.from({ length: MAX_NUMBERED_CLASSES + 1 }, (_, index) => `c${index}`);
    const { evaluation } = madeUpEvaluation(names, { samples: 1000 });
    const svg = await matrixSvg(
      confusionTable(evaluation.score.confusion, names),
      light,
      undefined,
    );
    expect(() => layerOf(svg, 'counts')).toThrow('no layer counts');
    const filled = evaluation.score.confusion.flat().filter((cell) => cell > 0).length;
    expect(layerOf(svg, 'cells').match(/<path/g)).toHaveLength(filled);
  });

  it('is drawn even if a class has no samples or no name', async () => {
    const table = confusionTable(
      [
        [0, 0],
        [1, 2],
      ],
      ['only'],
    );
    expect(table.classes).toEqual(['only', '1']);
    const svg = await matrixSvg(table, light, undefined);
    expect(svg).not.toMatch(/NaN|undefined/);
    const shades = [...layerOf(svg, 'cells').matchAll(/fill-opacity="([^"]*)"/g)].map(
      ([, shade]) => shade,
    );
    expect(shades.slice(0, 2)).toEqual(['0', '0']);
    expect(shades).toHaveLength(4);
  });

  it('takes its colours from the page that contains it', async () => {
    const svg = await matrixSvg(
      confusionTable(
        [
          [3, 1],
          [0, 9],
        ],
        ['a', 'b'],
      ),
      themed,
      undefined,
    );
    expect(svg.match(/#[0-9a-f]{6}\b/gi)).toBeNull();
    expect(svg).toContain('var(--hit)');
    expect(Object.keys(dark)).toEqual(Object.keys(themed));
  });
});

describe('the contact sheet', () => {
  it('shows the most confident mistakes with their labels', async () => {
    const { evaluation } = madeUpEvaluation(fashionNames, { samples: 2000 });
    const { wrong } = evaluation;
    expect(wrong.length).toBeGreaterThan(MAX_SHEET_SAMPLES);
    const texts = textsOf(await contactSheetSvg(evaluation));
    const shown = wrong
      .toSorted((a, b) => confidence(b) - confidence(a) || a.index - b.index)
      .slice(0, MAX_SHEET_SAMPLES);
    expect(texts[0]).toBe(`100 of ${wrong.length} mistakes`);
    expect(texts.slice(2)).toEqual(
      shown.flatMap((each) => [
        fashionNames[each.true],
        `→ ${fashionNames[each.predicted]}`,
        `${(100 * confidence(each)).toFixed(1)} %`,
        String(each.index),
      ]),
    );
  });

  it("shows the dataset's pixels with dark ink on white paper", async () => {
    const { evaluation } = madeUpEvaluation(digitNames);
    const [worst] = evaluation.wrong.toSorted((a, b) => confidence(b) - confidence(a));
    const { data, width } = decode(await toPng(await contactSheetSvg(evaluation)));
    // The picture fills an area of 84 x 84 at (16, 64). Its 6 rows of 5 pixels are centred, and
    // each pixel is 14 x 14. The PNG has twice the resolution.
    const seen = Array.from({ length: 30 }, (_, at) => {
      const [x, y] = [16 + 7 + 14 * (at % 5) + 7, 64 + 14 * Math.floor(at / 5) + 7];
      return 255 - (data[4 * (2 * y * width + 2 * x)] ?? 0);
    });
    const first = 30 * (worst?.index ?? NaN);
    expect(seen).toEqual([...evaluation.images.subarray(first, first + 30)]);
  });

  it('is not drawn if the picture of a sample is missing', async () => {
    const { evaluation } = madeUpEvaluation(digitNames);
    const fewer = { ...evaluation, images: evaluation.images.subarray(0, 100) };
    await expect(contactSheetSvg(fewer)).rejects.toThrow('there is a picture of sample');
  });

  it('says so if there are no mistakes', async () => {
    const { evaluation } = madeUpEvaluation(digitNames);
    expect(textsOf(await contactSheetSvg({ ...evaluation, wrong: [] }))[0]).toBe('No mistakes');
  });

  it('shortens only names that do not fit', () => {
    expect(shortened('Ankle boot', 8)).toBe('Ankle boot');
    expect(shortened('x'.repeat(64), 8)).toMatch(/^x{5,12}…$/);
    expect(widthOf(shortened('W'.repeat(64), 8))).toBeLessThanOrEqual(8);
    // A character that consists of two code units is never split.
    expect(shortened('𝔸'.repeat(20), 8)).toMatch(/^(𝔸)+…$/u);
  });
});

describe('a drawing', () => {
  it.each([
    ['fashion', fashionNames],
    ['hostile', hostile],
  ])('with %s names is valid XML, and can share a page with other drawings', async (_, names) => {
    const files = await artifactsOf(
      madeUpEvaluation(names, { metrics: madeUpMetrics(2, 20) }).evaluation,
    );
    const inline = [...textOf(files, 'report.html').matchAll(/<svg .*?<\/svg>/gs)].map(
      ([svg]) => svg,
    );
    expect(inline).toHaveLength(3);
    const alone = ['confusion_matrix.svg', 'loss.svg', 'accuracy.svg'].map((name) =>
      textOf(files, name),
    );
    for (const svg of [...inline, ...alone]) {
      await toPng(svg);
      // Ids in one picture would collide with those in the next.
      expect(svg).not.toMatch(/ id="|url\(|<script|<style|<foreignObject/);
    }
    for (const name of ['confusion_matrix', 'loss', 'accuracy']) {
      const [, width, height] =
        /width="(\d+)" height="(\d+)"/.exec(textOf(files, `${name}.svg`)) ?? [];
      const png = decode(fileOf(files, `${name}.png`));
      expect([png.width, png.height]).toEqual([2 * Number(width), 2 * Number(height)]);
    }
  });

  it('loads its libraries on first use', () => {
    const folder = new URL('../../../../artifacts/report/', import.meta.url);
    const imports = readdirSync(folder).flatMap((file) => [
      ...readFileSync(new URL(file, folder), 'utf8').matchAll(
        /^import (?!type).* from '([^.][^']*)'/gm,
      ),
    ]);
    expect(
      [...new Set(imports.map(([, name = '']) => name))].filter(
        (name) => !name.startsWith('node:'),
      ),
    ).toEqual([]);
  });
});
