/** The size of a picture in pixels. */
export interface ImageSize {
  readonly rows: number;
  readonly columns: number;
}

/** "28 x 28": rows, then columns, as in all messages. */
export function shapeText({ rows, columns }: ImageSize): string {
  return `${rows} x ${columns}`;
}
