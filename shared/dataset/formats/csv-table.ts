import { MAX_CSV_BYTES, MAX_CSV_HEADER_BYTES } from '../../limits/dataset.ts';
import { ClusterError } from '../../errors.ts';
import { MAX_INPUTS } from '../../limits.ts';
import { tooLarge } from '../convert.ts';
import type { ImageSize } from '../image-size.ts';
import { openUnpacked } from '../unpacked-file.ts';
import type { RawHalf } from './raw-set.ts';

const PIECE_BYTES = 1024 ** 2;
/** Rows are collected in chunks of about this size, since their number is not known in advance. */
const CHUNK_BYTES = 4 * 1024 ** 2;
const [LF, CR, COMMA, SPACE, TAB, DOT, ZERO, NINE] = [10, 13, 44, 32, 9, 46, 48, 57] as const;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);
const UTF_16 = [Buffer.from([0xff, 0xfe]), Buffer.from([0xfe, 0xff])];
/** Names of a column with labels. */
const LABEL = /^(?:label|labels|class|target|digit|y)$/i;

/** A table of pixels without labels, such as Kaggle's test.csv. */
export interface Unlabelled {
  readonly hasLabels: false;
}

/**
 * Reads a table with one image per line: a label, and the pixels of a square image, row by row. A
 * header is optional; it may put the label into any column, and its last name may give the size, as
 * in "28x28". The file may be compressed with gzip. Rejects with a DATA or LIMIT error that names
 * the file and the line.
 */
export async function readCsvTable(
  path: string,
  maxBytes: number,
): Promise<(RawHalf & { readonly hasLabels: true }) | Unlabelled> {
  const file = await openUnpacked(path);
  try {
    const piece = new Uint8Array(PIECE_BYTES);
    const head = piece.subarray(0, await file.read(piece));
    const first = firstLine(head, path);
    const layout = layoutOf(first.text, path);
    if (layout === undefined) return { hasLabels: false };
    const rows = new Rows(layout, path, maxBytes);
    let total = head.length;
    rows.take(head.subarray(layout.hasHeader ? first.end : first.start));
    for (let count = head.length; count === piece.length;) {
      count = await file.read(piece);
      total += count;
      if (total > MAX_CSV_BYTES)
        throw new ClusterError(
          'LIMIT',
          `${path} has more than ${MAX_CSV_BYTES} bytes of text (MAX_CSV_BYTES)`,
        );
      rows.take(piece.subarray(0, count));
    }
    return rows.end();
  } finally {
    await file.close();
  }
}

/** The first line without its line break, and where it begins and the next one begins. */
function firstLine(head: Uint8Array, path: string): { text: string; start: number; end: number } {
  if (UTF_16.some((mark) => mark.equals(head.subarray(0, mark.length))))
    throw refused(path, 1, 'it is UTF-16', 'save the file as UTF-8');
  const start = BOM.equals(head.subarray(0, BOM.length)) ? BOM.length : 0;
  const found = head.findIndex((byte) => byte === LF || byte === CR);
  const stop = found < 0 ? head.length : found;
  if (stop > MAX_CSV_HEADER_BYTES - 2)
    throw refused(
      path,
      1,
      `it is longer than ${MAX_CSV_HEADER_BYTES} bytes (MAX_CSV_HEADER_BYTES)`,
    );
  const end = head[stop] === CR && head[stop + 1] === LF ? stop + 2 : stop + 1;
  return { text: Buffer.from(head.subarray(start, stop)).toString('latin1'), start, end };
}

/** Which columns a table has. */
interface Layout extends ImageSize {
  readonly hasHeader: boolean;
  /** Number of values in each line. */
  readonly width: number;
  readonly labelColumn: number;
}

/** Undefined for a table without labels. */
function layoutOf(line: string, path: string): Layout | undefined {
  const fields = line.split(',').map((field) => field.trim().replaceAll(/^"|"$/g, ''));
  const width = fields.length;
  if (width < 2 || width > MAX_INPUTS + 1) {
    const what = `it has ${width === 1 ? 'one value' : `${width} values`}, separated by commas`;
    const fix = `write a label and 1 to ${MAX_INPUTS} pixels into each line, separated by commas`;
    throw refused(path, 1, what, fix);
  }
  const hasHeader = !/^\d+(?:\.0*)?$/.test(fields[0] ?? '');
  const labelColumn = hasHeader ? fields.findIndex((field) => LABEL.test(field)) : 0;
  const isSquare = (count: number) => Number.isInteger(Math.sqrt(count));
  // A square plus one is not a square, so that a table without labels can be told by its width.
  if (isSquare(width) && (labelColumn < 0 || !hasHeader)) return undefined;
  if (labelColumn < 0) {
    const fix = 'name the column with the labels "label" in the first line';
    throw refused(path, 1, 'no column is called "label"', fix);
  }
  const named = /^(\d{1,5})x(\d{1,5})$/
    .exec(fields.at(-1) ?? '')
    ?.slice(1)
    .map(Number);
  const [rows = 0, columns = 0] = named ?? [Math.sqrt(width - 1), Math.sqrt(width - 1)];
  if (rows * columns !== width - 1 || !Number.isInteger(rows)) {
    const what = `it has ${width - 1} pixels, which are not a square image`;
    const fix = 'write square images, or name the last column by the size, such as 28x20';
    throw refused(path, 1, what, fix);
  }
  return { hasHeader, width, labelColumn, rows, columns };
}

/** Takes the text of the lines in pieces that may end anywhere. */
class Rows {
  readonly #layout: Layout;
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #firstLine: number;
  readonly #chunks: Uint8Array[] = [];
  /** The values of `#chunkRows` lines. */
  readonly #chunkRows: number;
  #samples = 0;
  #line: number;
  /** The number of the current line's values that are complete. */
  #column = 0;
  /** The value of the digits so far; -1 without any. */
  #value = -1;
  #digits = 0;
  /** Whether the number has a decimal point, or a space follows it. */
  #isInFraction = false;
  #isPast = false;
  #wasReturn = false;
  /** The first empty line; only empty lines may follow it. */
  #emptyLine: number | undefined;

  constructor(layout: Layout, path: string, maxBytes: number) {
    this.#layout = layout;
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#firstLine = layout.hasHeader ? 2 : 1;
    this.#line = this.#firstLine;
    this.#chunkRows = Math.max(1, Math.floor(CHUNK_BYTES / layout.width));
  }

  take(piece: Uint8Array): void {
    for (let at = 0; at < piece.length; at++) {
      const byte = piece[at] ?? 0;
      if (byte >= ZERO && byte <= NINE) this.#digit(byte - ZERO);
      else if (byte === COMMA) this.#endValue();
      else if (byte === LF && this.#wasReturn) this.#wasReturn = false;
      else if (byte === LF || byte === CR) this.#endLine(byte === CR);
      else if (byte === DOT && this.#value >= 0 && !this.#isPast) this.#isInFraction = true;
      else if (byte === SPACE || byte === TAB) this.#isPast = this.#value >= 0;
      else throw this.#wrong(`${shown(byte)} is not part of a number`);
    }
  }

  end(): RawHalf & { readonly hasLabels: true } {
    if (this.#column > 0 || this.#value >= 0) this.#endLine(false);
    const { rows, columns, width, labelColumn } = this.#layout;
    const samples = this.#samples;
    if (samples === 0) throw new ClusterError('DATA', `${this.#path} has no samples`);
    const images = new Uint8Array(samples * (width - 1));
    const labels = new Uint8Array(samples);
    for (let sample = 0; sample < samples; sample++) {
      const row = this.#rowOf(sample);
      labels[sample] = row[labelColumn] ?? 0;
      images.set(row.subarray(0, labelColumn), sample * (width - 1));
      images.set(row.subarray(labelColumn + 1), sample * (width - 1) + labelColumn);
    }
    const placeOf = (sample: number) => `${this.#path}, line ${this.#firstLine + sample}`;
    return { hasLabels: true, rows, columns, samples, images, labels, placeOf };
  }

  #rowOf(sample: number): Uint8Array {
    const { width } = this.#layout;
    const chunk = this.#chunks[Math.floor(sample / this.#chunkRows)] ?? new Uint8Array();
    const first = (sample % this.#chunkRows) * width;
    return chunk.subarray(first, first + width);
  }

  #digit(digit: number): void {
    this.#wasReturn = false;
    if (this.#isPast) throw this.#wrong('two numbers without a comma between them');
    if (this.#isInFraction && digit === 0) return;
    this.#value = Math.max(0, this.#value) * 10 + digit;
    if (this.#isInFraction || ++this.#digits > 3 || this.#value > 255)
      throw this.#wrong('it is not a whole number from 0 to 255');
  }

  #endValue(): void {
    const { width } = this.#layout;
    this.#wasReturn = false;
    if (this.#value < 0) throw this.#wrong('it is empty');
    if (this.#column === width) throw this.#ragged('more than ');
    if (this.#column === 0) this.#beginRow();
    const row = this.#samples % this.#chunkRows;
    const chunk = this.#chunks.at(-1);
    if (chunk !== undefined) chunk[row * width + this.#column] = this.#value;
    this.#column++;
    this.#value = -1;
    this.#digits = 0;
    this.#isInFraction = false;
    this.#isPast = false;
  }

  #beginRow(): void {
    const { width } = this.#layout;
    if (this.#emptyLine !== undefined)
      throw refused(this.#path, this.#emptyLine, 'it is empty', 'remove the line');
    const total = (this.#samples + 1) * width;
    if (total > this.#maxBytes)
      throw tooLarge(`${this.#path}, line ${this.#line}`, total, this.#maxBytes);
    if (this.#samples % this.#chunkRows === 0)
      this.#chunks.push(new Uint8Array(this.#chunkRows * width));
  }

  #endLine(isReturn: boolean): void {
    const isEmpty = this.#column === 0 && this.#value < 0;
    if (isEmpty) this.#emptyLine ??= this.#line;
    else {
      this.#endValue();
      if (this.#column < this.#layout.width) throw this.#ragged('');
      this.#samples++;
    }
    this.#column = 0;
    this.#line++;
    this.#wasReturn = isReturn;
  }

  #ragged(more: string): ClusterError {
    const { width } = this.#layout;
    const what = `it has ${more}${this.#column} values, but the first line has ${width}`;
    return refused(this.#path, this.#line, what);
  }

  #wrong(what: string): ClusterError {
    return refused(this.#path, this.#line, `value ${this.#column + 1}: ${what}`);
  }
}

function shown(byte: number): string {
  return byte > SPACE && byte < 127 ? JSON.stringify(String.fromCharCode(byte)) : `byte ${byte}`;
}

function refused(
  path: string,
  line: number,
  what: string,
  fix = 'write whole numbers from 0 to 255, separated by commas, and equally many in each line',
): ClusterError {
  return new ClusterError('DATA', `${path}, line ${line}: ${what}`, { fix });
}
