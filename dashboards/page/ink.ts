/**
 * A drawing on a square raster: 0 is paper, 1 is ink. It is drawn without a canvas, so that the
 * result is the same in all browsers.
 */
export class Ink {
  readonly side: number;
  /** [side, side], row by row. */
  readonly cells: Float32Array;
  #isEmpty = true;

  constructor(side: number) {
    this.side = side;
    this.cells = new Float32Array(side * side);
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  clear(): void {
    this.cells.fill(0);
    this.#isEmpty = true;
  }

  /**
   * Draws a stroke with round ends and with edges antialiased over one cell. Positions and the
   * radius are in cells.
   */
  stroke(x1: number, y1: number, x2: number, y2: number, radius: number): void {
    const reach = radius + 1;
    const [left, right] = this.#range(Math.min(x1, x2) - reach, Math.max(x1, x2) + reach);
    const [top, bottom] = this.#range(Math.min(y1, y2) - reach, Math.max(y1, y2) + reach);
    for (let row = top; row < bottom; row++) {
      for (let column = left; column < right; column++) {
        const distance = distanceToSegment(column + 0.5, row + 0.5, x1, y1, x2, y2);
        const ink = Math.min(1, Math.max(0, radius + 0.5 - distance));
        const index = row * this.side + column;
        if (ink <= (this.cells[index] ?? 1)) continue;
        this.cells[index] = ink;
        this.#isEmpty = false;
      }
    }
  }

  #range(from: number, to: number): [number, number] {
    return [Math.max(0, Math.floor(from)), Math.min(this.side, Math.ceil(to))];
  }
}

function distanceToSegment(
  x: number,
  y: number,
  x1: number,
  y1: number,
  x2: number,
  y2: number,
): number {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const squared = dx * dx + dy * dy;
  const along = squared === 0 ? 0 : ((x - x1) * dx + (y - y1) * dy) / squared;
  const nearest = Math.min(1, Math.max(0, along));
  return Math.hypot(x - x1 - nearest * dx, y - y1 - nearest * dy);
}
