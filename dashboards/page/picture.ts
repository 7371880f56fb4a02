import type { Picture } from '../../shared/digit/normalise.ts';

/** From bytes in base64, row by row; what is missing is background. */
export function pictureOf(base64: string, rows: number, columns: number): Picture {
  const bytes = atob(base64);
  const pixels = new Float32Array(rows * columns);
  for (let index = 0; index < pixels.length && index < bytes.length; index++)
    pixels[index] = bytes.charCodeAt(index) / 255;
  return { rows, columns, pixels };
}

/**
 * Ink is black and paper is clear; style.css turns it over where it is dark. One pixel of the
 * canvas for each.
 */
export function paintPicture(canvas: HTMLCanvasElement, { rows, columns, pixels }: Picture): void {
  canvas.width = columns;
  canvas.height = rows;
  const image = new ImageData(columns, rows);
  for (const [index, ink] of pixels.entries()) image.data[index * 4 + 3] = Math.round(ink * 255);
  canvas.getContext('2d')?.putImageData(image, 0, 0);
}
