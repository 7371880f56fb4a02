import { MAX_NUMBERED_CLASSES } from '../../shared/limits.ts';
import type { Colours } from './colours.ts';
import { count } from '../../shared/text/number-format.ts';
import { drawnNames, widthOf } from './drawn-names.ts';
import type { ConfusionTable } from './tables.ts';
import { drawSvg, FONT_SIZE, type Part, textAt } from './vega.ts';

/** Shade above which a count uses the text colour for full cells. */
const FULL = 0.72;
/** Side of a cell without a count, in pixels. */
const SMALL_CELL = 6;
/** Minimum distance between class names, in pixels. */
const NAME_PITCH = 16;

/**
 * Draws the confusion matrix: rows are true classes, and the shade is the cube root of the share of
 * the row, so that even one mistake in a hundred is visible.
 */
export async function matrixSvg(
  table: ConfusionTable,
  colours: Colours,
  title: string | undefined,
): Promise<string> {
  const classes = table.confusion.length;
  const names = drawnNames(table.classes, classes);
  const hasNumbers = classes <= MAX_NUMBERED_CLASSES;
  const cell = hasNumbers ? cellSize(table.confusion) : SMALL_CELL;
  const side = cell * classes;
  const longest = FONT_SIZE * Math.max(...names.map(widthOf));
  const isTurned = longest > cell;
  const below = isTurned ? Math.ceil(longest) + 20 : 32;
  const left = Math.ceil(longest) + 34;
  const numbers: Part = {
    name: 'counts',
    mark: { type: 'text', fontSize: FONT_SIZE },
    encoding: { text: { field: 'text', type: 'nominal' }, color: verbatim('ink') },
  };
  const spec = {
    width: side,
    height: side,
    params: [{ name: 'names', value: names }],
    data: {
      values: cellsOf(table.confusion, colours).filter(({ shade }) => hasNumbers || shade > 0),
    },
    encoding: {
      y: { field: 'true', ...axis(names, cell, { titleX: 20 - left, titleAngle: -90 }, 'true') },
      x: {
        field: 'predicted',
        ...axis(
          names,
          cell,
          { titleY: below + 4, titleAngle: 0, ...turned(isTurned) },
          'predicted',
        ),
      },
    },
    layer: [
      // One pixel smaller, which leaves a gap between cells.
      {
        name: 'cells',
        mark: { type: 'rect', width: cell - 1, height: cell - 1 },
        encoding: {
          color: verbatim('fill'),
          fillOpacity: { ...verbatim('shade'), type: 'quantitative' },
        },
      },
      ...(hasNumbers ? [numbers] : []),
      ...(title === undefined ? [] : [textAt(8 - left, -22, title, { fontSize: 15 })]),
    ],
  };
  const right = Math.max(
    20,
    title === undefined ? 0 : Math.ceil(15 * widthOf(title)) - side - left + 20,
  );
  return drawSvg(
    spec,
    { left, top: title === undefined ? 8 : 40, right, bottom: below + 24 },
    colours,
  );
}

interface Cell {
  readonly true: number;
  readonly predicted: number;
  readonly text: string;
  /** 0 to 1. */
  readonly shade: number;
  readonly fill: string;
  readonly ink: string;
}

/** Side of a cell that fits the widest count, in pixels. */
function cellSize(confusion: readonly (readonly number[])[]): number {
  const most = confusion.reduce((max, row) => Math.max(max, ...row), 0);
  return Math.max(30, Math.ceil(FONT_SIZE * widthOf(count(most))) + 8);
}

function cellsOf(
  confusion: readonly (readonly number[])[],
  { hit, miss, ink, muted, onHit, onMiss }: Colours,
): Cell[] {
  return confusion.flatMap((row, actual) => {
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((cell, predicted) => {
      const shade = cell === 0 ? 0 : Number(Math.cbrt(cell / sum).toFixed(4));
      const [fill, onFill] = actual === predicted ? [hit, onHit] : [miss, onMiss];
      return {
        true: actual,
        predicted,
        text: count(cell),
        shade,
        fill,
        ink: cell === 0 ? muted : shade > FULL ? onFill : ink,
      };
    });
  });
}

/** A channel that uses the value of its field unchanged, without a scale. */
function verbatim(field: string): Part {
  return { field, type: 'nominal', scale: null, legend: null };
}

function axis(names: readonly string[], cell: number, place: Part, title: string): Part {
  const every = Math.ceil(NAME_PITCH / cell);
  const values = names.flatMap((_, index) => (index % every === 0 ? [index] : []));
  return {
    type: 'ordinal',
    scale: { paddingInner: 0, paddingOuter: 0 },
    axis: { labelExpr: 'names[datum.value]', values, title, labelAngle: 0, ...place },
  };
}

/** Names that are wider than a cell are drawn vertically. */
function turned(isTurned: boolean): Part {
  return isTurned ? { labelAngle: -90, labelAlign: 'right', labelBaseline: 'middle' } : {};
}
