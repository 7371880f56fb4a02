import { printedCsv, type CsvRow } from '../../artifacts/report/csv.ts';
import { printable, printableJson } from '../../shared/printable.ts';
import { columnsOf } from './columns.ts';
import type { Environment } from '../options/environment.ts';
import { typable } from '../options/invocation.ts';
import { colouredText, plainText, type Line } from './styled-line.ts';
import { isLive, styleOf, type Style, type TerminalStream } from './style.ts';

const DEFAULT_COLUMNS = 80;

/**
 * The output of every command to a terminal, a pipe or a file. It escapes all text, so that text
 * from a peer, a file or a dataset cannot control a terminal, and adds colours and cursor
 * movements. A terminal may show one live line below the permanent lines.
 */
export class Output {
  readonly #stream: TerminalStream;
  readonly #environment: Environment;
  #live = '';
  /** Width of the live line, in columns. */
  #columns = 0;

  constructor(stream: TerminalStream, environment: Environment) {
    this.#stream = stream;
    this.#environment = environment;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  /** Whether a line can be redrawn. */
  get isLive(): boolean {
    return isLive(this.#stream, this.#environment);
  }

  get style(): Style {
    return styleOf(this.#stream, this.#environment);
  }

  /** Columns for permanent lines: Infinity if the output is not a terminal. */
  get columns(): number {
    return this.isTerminal ? widthOf(this.#stream) : Infinity;
  }

  /** Columns for output that needs a width: the terminal's, or 80. */
  get width(): number {
    return widthOf(this.#stream);
  }

  /** Columns for the live line: one less than the width, so that it never wraps. */
  get liveWidth(): number {
    return Math.max(1, this.width - 1);
  }

  /** Writes permanent lines. */
  write(...lines: readonly Line[]): void {
    this.#put(lines.map((line) => `${this.#rendered(typableLine(line))}\n`).join(''));
  }

  /** Writes a program's text as it is; it must contain only words of our own. */
  program(text: string): void {
    this.#put(text);
  }

  /** Writes rows of CSV. */
  csv(...rows: readonly CsvRow[]): void {
    const shown = (cell: string | number) => (typeof cell === 'string' ? printable(cell) : cell);
    this.#put(printedCsv(rows.map((row) => row.map(shown))));
  }

  /** Writes a JSON document. */
  json(document: unknown): void {
    this.jsonText(`${JSON.stringify(document, undefined, 2)}\n`);
  }

  /** Writes complete lines of JSON. */
  jsonText(text: string): void {
    this.#put(printableJson(text));
  }

  /** Replaces the live line; an empty line removes it. */
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

  /**
   * Erases all rows of the live line; a terminal that became narrower has wrapped it onto several
   * rows.
   */
  #erase(): string {
    const rows = Math.ceil(this.#columns / this.width);
    return `\r${rows > 1 ? `\u001b[${rows - 1}A\u001b[J` : '\u001b[K'}`;
  }
}

/** Rewrites the commands in a line so that they can be typed where this program was started. */
function typableLine(line: Line): Line {
  if (typeof line === 'string') return typable(line);
  return line.map((part) => (typeof part === 'string' ? typable(part) : part));
}

/** The terminal's width in columns: 80 if the stream is not a terminal or its size is unknown. */
function widthOf({ columns }: TerminalStream): number {
  return columns || DEFAULT_COLUMNS;
}

export const stdout = new Output(process.stdout, process.env);
export const stderr = new Output(process.stderr, process.env);

/** Splits a string into the lines that `write` takes. */
export function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}
