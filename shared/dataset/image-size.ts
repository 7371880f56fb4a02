import { MAX_INPUTS } from '../limits.ts';

/** The size of a picture in pixels. */
export interface ImageSize {
  readonly rows: number;
  readonly columns: number;
}

/** "28 x 28": rows, then columns, as in all messages. */
export function shapeText({ rows, columns }: ImageSize): string {
  return `${rows} x ${columns}`;
}

/** "28", "28x28" or "28 x 20", rows first; undefined for any other text. */
export function parseImageSize(text: string): ImageSize | undefined {
  const [, rows, columns = rows] = /^(\d{1,5})(?: ?x ?(\d{1,5}))?$/.exec(text) ?? [];
  const size = { rows: Number(rows), columns: Number(columns) };
  const pixels = size.rows * size.columns;
  return pixels > 0 && pixels <= MAX_INPUTS ? size : undefined;
}

/** The inverse of `parseImageSize`. */
export function formatImageSize({ rows, columns }: ImageSize): string {
  return `${rows}x${columns}`;
}
