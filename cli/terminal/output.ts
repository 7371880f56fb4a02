import { printedCsv, type CsvRow } from '../../artifacts/report/csv.ts';
import { printable, printableJson } from '../../shared/printable.ts';
import { columnsOf } from './columns.ts';
import type { Environment } from '../options/environment.ts';
import { typable } from '../options/invocation.ts';
import { colouredText, plainText, type Line } from './styled-line.ts';
import { isLive, styleOf, type Style, type TerminalStream } from './style.ts';

const DEFAULT_COLUMNS = 80;

/**
 * The only way out of the program to a terminal, a pipe or a file: every command writes through it.
 * What comes from a peer, a file or a dataset cannot drive a terminal, since all text is escaped
 * here; colours and cursor movements are added here, too. On a terminal one live line may stand
 * below the lines that stay.
 */
export class Output {
  readonly #stream: TerminalStream;
  readonly #environment: Environment;
  #live = '';
  /** Columns of the live line. */
  #columns = 0;

  constructor(stream: TerminalStream, environment: Environment) {
    this.#stream = stream;
    this.#environment = environment;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /** Whether a line can be drawn again and again. */
  get isLive(): boolean {
    return isLive(this.#stream, this.#environment);
  }

  get style(): Style {
    return styleOf(this.#stream, this.#environment);
  }

  /** Columns for lines that are written once: what is no terminal takes any length. */
  get columns(): number {
    return this.isTerminal ? widthOf(this.#stream) : Infinity;
  }

  /** Columns for what must have a width: those of the terminal, else 80. */
  get width(): number {
    return widthOf(this.#stream);
  }

  /** Columns for the live line: one less, so that it never wraps. */
  get liveWidth(): number {
    return Math.max(1, this.width - 1);
  }

  /** Lines that stay. */
  write(...lines: readonly Line[]): void {
    this.#put(lines.map((line) => `${this.#rendered(typableLine(line))}\n`).join(''));
  }

  /** Rows of CSV. */
  csv(...rows: readonly CsvRow[]): void {
    const shown = (cell: string | number) => (typeof cell === 'string' ? printable(cell) : cell);
    this.#put(printedCsv(rows.map((row) => row.map(shown))));
  }

  /** A JSON document for programs. */
  json(document: unknown): void {
    this.jsonText(`${JSON.stringify(document, undefined, 2)}\n`);
  }

  /** Whole lines of JSON. */
  jsonText(text: string): void {
    this.#put(printableJson(text));
  }

  /** Replaces the live line; an empty one removes it. */
  draw(line: Line): void {
    const text = this.#rendered(line);
    if (text === this.#live) return;
    this.#stream.write(this.#erase() + text);
    this.#live = text;
    this.#columns = columnsOf(plainText(line));
  }

  #rendered(line: Line): string {
    return this.style.colour ? colouredText(line) : plainText(line);
  }

  #put(text: string): void {
    this.#stream.write(this.#live === '' ? text : `${this.#erase()}${text}${this.#live}`);
  }

  /** A terminal that has become narrower has broken the live line into several rows. */
  #erase(): string {
    const rows = Math.ceil(this.#columns / this.width);
    return `\r${rows > 1 ? `\u001b[${rows - 1}A\u001b[J` : '\u001b[K'}`;
  }
}

/** Commands in it are those that work where this program was started. */
function typableLine(line: Line): Line {
  if (typeof line === 'string') return typable(line);
  return line.map((part) => (typeof part === 'string' ? typable(part) : part));
}

/** The columns of a terminal: 80 where it does not know its size, or is none. */
function widthOf({ columns }: TerminalStream): number {
  return columns || DEFAULT_COLUMNS;
}

export const stdout = new Output(process.stdout, process.env);
export const stderr = new Output(process.stderr, process.env);

/** A text of several lines of ours as what `write` takes. */
export function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}
