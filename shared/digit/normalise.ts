/** Fraction of an image's side that a digit fills: 20 of 28 pixels in MNIST. */
const FILLED = 20 / 28;

/** An image row by row; 0 is background, 1 is ink. */
export interface Picture {
  readonly rows: number;
  readonly columns: number;
  readonly pixels: Float32Array;
}

/**
 * Normalises a drawn digit the way MNIST does. The drawing is scaled proportionally to fit a box of
 * 20 x 20 pixels; each pixel is the mean of the area that it covers. The result is shifted by whole
 * pixels until its centre of mass is as close to the middle as the edges of the image allow. Images
 * of other sizes are treated in proportion. (In MNIST, the longer side has 20 pixels, and the mean
 * centre of mass is at pixel 14.0, 14.0, counted from 0.) Lines drawn with a thin pen are gray
 * after scaling, so they are darkened to match MNIST's. A drawing without ink yields an empty
 * image.
 */
export function normalise(drawing: Picture, rows: number, columns: number): Picture {
  const pixels = new Float32Array(rows * columns);
  const box = boundingBox(drawing);
  if (box === undefined) return { rows, columns, pixels };
  const scale = Math.min(
    (rows * FILLED) / (box.bottom - box.top),
    (columns * FILLED) / (box.right - box.left),
  );
  const small = shrink(drawing, box, scale, rows, columns);
  const centre = centreOfMass(small);
  const down = clamp(rows / 2 - centre.row, rows - small.rows);
  const across = clamp(columns / 2 - centre.column, columns - small.columns);
  for (let row = 0; row < small.rows; row++) {
    const line = small.pixels.subarray(row * small.columns, (row + 1) * small.columns);
    pixels.set(line, (row + down) * columns + across);
  }
  const darkest = pixels.reduce((a, b) => Math.max(a, b), 0);
  for (const [at, ink] of pixels.entries()) pixels[at] = ink / darkest;
  return { rows, columns, pixels };
}

/** The centre of mass in pixels, counted from 0 at the centre of the first pixel. */
export function centreOfMass({ rows, columns, pixels }: Picture): { row: number; column: number } {
  let [mass, row, column] = [0, 0, 0];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const ink = pixels[y * columns + x] ?? 0;
      mass += ink;
      row += ink * y;
      column += ink * x;
    }
  }
  return { row: row / mass, column: column / mass };
}

interface Box {
  readonly top: number;
  readonly bottom: number;
  readonly left: number;
  readonly right: number;
}

/** The bounding box of all ink; `bottom` and `right` are exclusive. */
function boundingBox({ rows, columns, pixels }: Picture): Box | undefined {
  let [top, bottom, left, right] = [rows, 0, columns, 0];
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      if ((pixels[y * columns + x] ?? 0) === 0) continue;
      top = Math.min(top, y);
      bottom = Math.max(bottom, y + 1);
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
    }
  }
  return bottom === 0 ? undefined : { top, bottom, left, right };
}

/**
 * The scaled content of the box. If the length of the shorter side is not a whole number, that side
 * is centred in its pixels.
 */
function shrink(
  drawing: Picture,
  box: Box,
  scale: number,
  maxRows: number,
  maxColumns: number,
): Picture {
  const [height, width] = [(box.bottom - box.top) * scale, (box.right - box.left) * scale];
  // A rounding error must not add a row or a column.
  const rows = Math.min(maxRows, Math.ceil(height - 1e-9));
  const columns = Math.min(maxColumns, Math.ceil(width - 1e-9));
  const pixels = new Float32Array(rows * columns);
  const [firstRow, firstColumn] = [(height - rows) / 2, (width - columns) / 2];
  for (let row = 0; row < rows; row++) {
    const top = box.top + (firstRow + row) / scale;
    for (let column = 0; column < columns; column++) {
      const left = box.left + (firstColumn + column) / scale;
      pixels[row * columns + column] = mean(drawing, top, left, 1 / scale);
    }
  }
  return { rows, columns, pixels };
}

/**
 * Mean ink in the square of side `side` at (top, left). Pixels that it covers only partly count in
 * proportion.
 */
function mean({ rows, columns, pixels }: Picture, top: number, left: number, side: number): number {
  let sum = 0;
  for (let y = Math.max(0, Math.floor(top)); y < Math.min(rows, top + side); y++) {
    const high = Math.min(y + 1, top + side) - Math.max(y, top);
    for (let x = Math.max(0, Math.floor(left)); x < Math.min(columns, left + side); x++) {
      const wide = Math.min(x + 1, left + side) - Math.max(x, left);
      sum += (pixels[y * columns + x] ?? 0) * high * wide;
    }
  }
  return Math.min(1, sum / (side * side));
}

function clamp(shift: number, room: number): number {
  return Math.min(room, Math.max(0, Math.round(shift)));
}
