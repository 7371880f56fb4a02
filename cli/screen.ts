import { stripVTControlCharacters } from 'node:util';
import type { TerminalStream } from './style.ts';

const DEFAULT_COLUMNS = 80;

/** Columns for lines that are written once: what is no terminal takes any length. */
export function columnsOf(stream: TerminalStream): number {
  return stream.isTTY === true ? widthOf(stream) : Infinity;
}

/** The columns of a terminal: 80 where it does not know its size, or is none. */
export function widthOf({ columns }: TerminalStream): number {
  return columns || DEFAULT_COLUMNS;
}

/**
 * A stream that can hold one live line at its end: whole lines are written above it. Also the destination of the text
 * log, so that a warning never lands in the middle of the live line.
 */
export class Screen {
  readonly #stream: TerminalStream;
  #live = '';
  /** Columns of the live line. */
  #columns = 0;

  constructor(stream: TerminalStream) {
    this.#stream = stream;
  }

  /** Columns for a line that must not wrap: one less than the terminal has. */
  get width(): number {
    return Math.max(1, widthOf(this.#stream) - 1);
  }

  /** Permanent text, whole lines; a missing last line break is added. */
  write(text: string): void {
    const lines = text.endsWith('\n') ? text : `${text}\n`;
    this.#stream.write(this.#live === '' ? lines : `${this.#erase()}${lines}${this.#live}`);
  }

  /** Replaces the live line; an empty one removes it. */
  draw(line: string): void {
    if (line === this.#live) return;
    this.#stream.write(this.#erase() + line);
    this.#live = line;
    this.#columns = stripVTControlCharacters(line).length;
  }

  /** A terminal that has become narrower has broken the live line into several rows. */
  #erase(): string {
    const rows = Math.ceil(this.#columns / widthOf(this.#stream));
    return `\r${rows > 1 ? `\u001b[${rows - 1}A\u001b[J` : '\u001b[K'}`;
  }
}
