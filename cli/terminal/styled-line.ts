import { printable } from '../../shared/printable.ts';
import { columnsOf, firstColumns } from './columns.ts';

const sgr = { bold: '1', dim: '2', green: '32', yellow: '33', cyan: '36' } as const;
export type Look = keyof typeof sgr;

/** A styled part of a line. Its text is escaped like all other text (output.ts). */
export class Painted {
  readonly text: string;
  /** Parameters of SGR, the escape sequence that sets colours. */
  readonly sgr: string;

  constructor(text: string, parameters: string) {
    this.text = text;
    this.sgr = parameters;
  }
}

/** One line of output. Styles are kept apart from the text, so that no text can introduce one. */
export type Line = string | readonly (string | Painted)[];

export function paint(text: string, look: Look): Painted {
  return new Painted(text, sgr[look]);
}

/** The escaped text of a line without its styles. */
export function plainText(line: Line): string {
  return partsOf(line)
    .map((part) => printable(typeof part === 'string' ? part : part.text))
    .join('');
}

/** The escaped text of a line with the escape sequences of its styles. */
export function colouredText(line: Line): string {
  return partsOf(line)
    .map((part) =>
      typeof part === 'string'
        ? printable(part)
        : `\u001b[${part.sgr}m${printable(part.text)}\u001b[0m`,
    )
    .join('');
}

/** The escaped text, shortened to `columns`. */
export function shortened(text: string, columns: number): string {
  const shown = printable(text);
  return columnsOf(shown) <= columns ? shown : `${firstColumns(shown, columns - 3)}...`;
}

/** The parts of several lines as one line, with `gap` between them. */
export function joined(lines: readonly Line[], gap: string): Line {
  return lines.flatMap((line, index) => (index === 0 ? partsOf(line) : [gap, ...partsOf(line)]));
}

function partsOf(line: Line): readonly (string | Painted)[] {
  return typeof line === 'string' ? [line] : line;
}
