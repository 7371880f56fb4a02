import { confidence, worst } from '../../shared/evaluation/worst.ts';
import type { Misclassified } from '../../shared/evaluation/misclassified.ts';
import { MAX_SHEET_SAMPLES } from '../../shared/limits.ts';
import { light } from './colours.ts';
import { dataUri, digitOf, digitPngs } from './digit.ts';
import { count, percent } from '../../shared/text/number-format.ts';
import { type Markup, markup } from './markup.ts';
import { drawnNames, shortened } from './drawn-names.ts';
import type { Evaluation } from './subject.ts';
import { FONT } from './vega.ts';

const COLUMNS = 10;
/** Side of a digit's square, in pixels. PITCH is the distance from one digit to the next. */
const SIDE = 84;
const PITCH = { x: 102, y: 142 } as const;
const FONT_SIZE = 12;
/** Maximum width of a name, so that it does not overlap the next one. */
const NAME_EMS = (PITCH.x - 4) / FONT_SIZE;
const MARGIN = { left: 16, top: 64 } as const;

/**
 * An SVG of the mistakes with the highest confidence, each with its true class and the prediction.
 */
export async function contactSheetSvg({
  subject,
  score,
  wrong,
  images,
}: Evaluation): Promise<string> {
  const { dataset } = subject;
  const shown = worst(wrong, MAX_SHEET_SAMPLES);
  const pngs = await digitPngs(shown.map(({ index }) => digitOf(images, dataset, index)));
  const names = drawnNames(dataset.classNames, score.confusion.length);
  const cells = shown.map((mistake, at) =>
    cell(mistake, at, names, dataUri(pngs[at] ?? Buffer.alloc(0))),
  );
  const rows = Math.max(1, Math.ceil(shown.length / COLUMNS));
  const [width, height] = [MARGIN.left + COLUMNS * PITCH.x, MARGIN.top + rows * PITCH.y];
  const head =
    shown.length === 0
      ? 'No mistakes'
      : `${shown.length === wrong.length ? 'All' : `${shown.length} of`} ` +
        `${count(wrong.length)} mistakes`;
  const legend =
    'true class → prediction, its probability, and the index of the sample in the ' +
    `${dataset.split} set; most confident first`;
  return markup`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"
 viewBox="0 0 ${width} ${height}" font-family="${FONT}" font-size="${FONT_SIZE}">
<rect width="100%" height="100%" fill="${light.paper}"/>
<text x="${MARGIN.left}" y="26" font-size="15" fill="${light.ink}">${head}</text>
<text x="${MARGIN.left}" y="46" fill="${light.muted}">${legend}</text>
${cells}</svg>
`.text;
}

function cell(
  mistake: Misclassified,
  at: number,
  names: readonly string[],
  picture: string,
): Markup {
  const [x, y] = [
    MARGIN.left + (at % COLUMNS) * PITCH.x,
    MARGIN.top + Math.floor(at / COLUMNS) * PITCH.y,
  ];
  const line = (row: number) => y + SIDE + 15 + 14 * row;
  const name = (index: number) => names[index] ?? String(index);
  const actual = shortened(name(mistake.true), NAME_EMS);
  const predicted = shortened(`→ ${name(mistake.predicted)}`, NAME_EMS);
  const small = markup`font-size="10" fill="${light.muted}"`;
  return markup`<image x="${x}" y="${y}" width="${SIDE}" height="${SIDE}"
 image-rendering="optimizeSpeed" href="${picture}"/>
<rect x="${x - 0.5}" y="${y - 0.5}" width="${SIDE + 1}" height="${SIDE + 1}"
 fill="none" stroke="${light.line}"/>
<text x="${x}" y="${line(0)}" fill="${light.hit}">${actual}</text>
<text x="${x}" y="${line(1)}" fill="${light.ink}">${predicted}</text>
<text x="${x}" y="${line(2)}" ${small}>${percent(confidence(mistake), 1)}</text>
<text x="${x + SIDE}" y="${line(2)}" text-anchor="end" ${small}>${mistake.index}</text>
`;
}
