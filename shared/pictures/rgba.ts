/** An image row by row, four bytes per pixel: red, green, blue, alpha, each 0-255. */
export interface Rgba {
  readonly rows: number;
  readonly columns: number;
  readonly bytes: Uint8Array;
}
