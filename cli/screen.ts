import type { TerminalStream } from './style.ts';

const CLEAR_LINE = '\r\u001b[K';
const DEFAULT_COLUMNS = 80;

/**
 * A stream that can hold one live line at its end: whole lines are written above it. Also the destination of the text
 * log, so that a warning never lands in the middle of the live line.
 */
export class Screen {
  readonly #stream: TerminalStream;
  #live = '';

  constructor(stream: TerminalStream) {
    this.#stream = stream;
  }

  /** Columns for a line that must not wrap: one less than the terminal has. */
  get width(): number {
    return Math.max(1, (this.#stream.columns ?? DEFAULT_COLUMNS) - 1);
  }

  /** Permanent text, whole lines; a missing last line break is added. */
  write(text: string): void {
    const lines = text.endsWith('\n') ? text : `${text}\n`;
    this.#stream.write(this.#live === '' ? lines : `${CLEAR_LINE}${lines}${this.#live}`);
  }

  /** Replaces the live line; an empty one removes it. */
  draw(line: string): void {
    if (line === this.#live) return;
    this.#stream.write(CLEAR_LINE + line);
    this.#live = line;
  }
}
