import type { Dataset } from '../../shared/dataset/dataset.ts';
import { shapeText } from '../../shared/dataset/image-size.ts';
import { count } from '../../shared/text/number-format.ts';
import { light } from './colours.ts';
import { dataUri, digitOf, digitPngs } from './digit.ts';
import { drawnNames } from './drawn-names.ts';
import { markup } from './markup.ts';
import { FONT } from './vega.ts';

const COLUMNS = 10;
const MAX_CLASSES_SHOWN = 64;
/** Most pixels of all samples on the sheet, which are not compressed. */
const MAX_SHEET_PIXELS = 2 ** 23;
/** Side of a sample's square, and the distance from one to the next. */
const [SIDE, PITCH] = [56, 60];
const FONT_SIZE = 12;
const MARGIN = { left: 176, top: 48, right: 16 } as const;

/** An SVG with a row for each class: its name, its number of samples, and its first ones. */
export async function classSheetSvg(dataset: Dataset): Promise<string> {
  const { classNames, train, test, rows, columns } = dataset;
  const classes = Math.min(classNames.length, MAX_CLASSES_SHOWN);
  const most = Math.floor(MAX_SHEET_PIXELS / (classes * rows * columns));
  const perClass = Math.min(COLUMNS, Math.max(1, most));
  const names = drawnNames(classNames, classes);
  const found = samplesByClass(train.labels, classes);
  const cells = await Promise.all(
    found.map(async (samples, row) => {
      const y = MARGIN.top + row * PITCH;
      const shown = samples.slice(0, perClass);
      const pngs = await digitPngs(shown.map((index) => digitOf(train.images, dataset, index)));
      const pictures = pngs.map(
        (png, column) =>
          markup`<image x="${MARGIN.left + column * PITCH}" y="${y}" width="${SIDE}"
 height="${SIDE}" image-rendering="optimizeSpeed" href="${dataUri(png)}"/>
`,
      );
      return markup`<text x="16" y="${y + 26}" fill="${light.ink}">${names[row] ?? ''}</text>
<text x="16" y="${y + 42}" font-size="10" fill="${light.muted}">${count(samples.length)}</text>
${pictures}`;
    }),
  );
  const width = MARGIN.left + COLUMNS * PITCH + MARGIN.right;
  const height = MARGIN.top + classes * PITCH + MARGIN.right;
  const left = classNames.length - classes;
  const title =
    `${count(train.samples)} training and ${count(test.samples)} test images of ` +
    `${shapeText(dataset)} pixels in ${classNames.length} classes` +
    (left > 0 ? `; ${classes} of them are shown` : '');
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"
 viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="${FONT_SIZE}">
<rect width="100%" height="100%" fill="${light.paper}"/>
<text x="16" y="28" font-size="15" fill="${light.ink}">${title}</text>
${cells}</svg>
`.text;
}

/** The indices of each class's samples. */
function samplesByClass(labels: Uint8Array, classes: number): number[][] {
  const found = Array.from({ length: classes }, (): number[] => []);
  for (const [index, label] of labels.entries()) found[label]?.push(index);
  return found;
}
