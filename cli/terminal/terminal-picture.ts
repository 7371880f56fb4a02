import { joined, Painted, type Line } from './styled-line.ts';
import type { Style } from './style.ts';

/** A picture, row by row: 0 is background, 1 is ink. */
interface Picture {
  readonly rows: number;
  readonly columns: number;
  readonly pixels: Float32Array;
}

const ASCII = ' .:-=+*#%@';
/** The grays of the 256-colour palette, from almost black to almost white. */
const [FIRST_GRAY, GRAYS] = [232, 24];
/** Half blocks by index: the upper half counts as 1, the lower half as 2. */
const HALVES = [' ', '▀', '▄', '█'] as const;

/**
 * A picture as terminal lines, one column per pixel and two rows per line: in grays if the terminal
 * has Unicode and colours, in half blocks if it has only Unicode, otherwise in characters of
 * increasing density.
 */
export function pictureLines({ rows, columns, pixels }: Picture, style: Style): Line[] {
  const inkAt = (row: number, column: number) =>
    row < rows ? (pixels[row * columns + column] ?? 0) : 0;
  return Array.from({ length: Math.ceil(rows / 2) }, (_, line) => {
    const cells = Array.from({ length: columns }, (_, column) =>
      cell(inkAt(2 * line, column), inkAt(2 * line + 1, column), style),
    );
    return joined(cells, '');
  });
}

function cell(upper: number, lower: number, { colour, unicode }: Style): Line {
  if (!unicode) return ASCII[Math.round(((upper + lower) / 2) * (ASCII.length - 1))] ?? ' ';
  if (colour) return [new Painted('▀', `38;5;${gray(upper)};48;5;${gray(lower)}`)];
  return HALVES[(upper >= 0.5 ? 1 : 0) + (lower >= 0.5 ? 2 : 0)] ?? ' ';
}

function gray(ink: number): number {
  return FIRST_GRAY + Math.round(ink * (GRAYS - 1));
}
