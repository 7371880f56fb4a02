import { columnsOf, padRight } from './columns.ts';

const GAP_COLUMNS = 2;
/** Lowest pixel value that is drawn as a dot. */
const INK = 96;
/** Bits of a Braille pattern (U+2800): two columns of four dots. */
const dots = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

/** A picture made of dots: a character for two columns and four rows of pixels. */
export function dotLines(
  image: Uint8Array,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): string[] {
  const isInk = (y: number, x: number) =>
    y < rows && x < columns && (image[y * columns + x] ?? 0) >= INK;
  return Array.from({ length: Math.ceil(rows / 4) }, (_, y) =>
    Array.from({ length: Math.ceil(columns / 2) }, (_each, x) => {
      let pattern = 0x2800;
      dots.forEach((pair, dy) =>
        pair.forEach((bit, dx) => {
          if (isInk(4 * y + dy, 2 * x + dx)) pattern += bit;
        }),
      );
      return String.fromCharCode(pattern);
    }).join(''),
  );
}

/** Blocks of equally many lines, side by side as far as `width` allows, with a line below them. */
export function sideBySide(blocks: readonly (readonly string[])[], width: number): string[] {
  const columns = Math.max(...blocks.flat().map(columnsOf)) + GAP_COLUMNS;
  const perLine = Math.max(1, Math.floor(width / columns));
  const lines: string[] = [];
  for (let first = 0; first < blocks.length; first += perLine) {
    const side = blocks.slice(first, first + perLine);
    for (const row of side[0]?.keys() ?? [])
      lines.push(
        side
          .map((block) => padRight(block[row] ?? '', columns))
          .join('')
          .trimEnd(),
      );
    lines.push('');
  }
  return lines;
}
