import type { Rgba } from './rgba.ts';

/**
 * The gray values of a picture: ITU-R 601's luma in whole numbers, as Pillow's convert("L") has it,
 * and where the picture is transparent, white shows through:
 *
 *     luma = floor((19595 red + 38470 green + 7471 blue + 32768) / 65536)
 *     gray = floor((luma x alpha + 255 x (255 - alpha) + 127) / 255)
 */
export function grayOf({ rows, columns, bytes }: Rgba): Uint8Array {
  const gray = new Uint8Array(rows * columns);
  for (let i = 0; i < gray.length; i++) {
    const [red, green, blue] = [bytes[4 * i] ?? 0, bytes[4 * i + 1] ?? 0, bytes[4 * i + 2] ?? 0];
    const luma = (19595 * red + 38470 * green + 7471 * blue + 32768) >>> 16;
    const alpha = bytes[4 * i + 3] ?? 0;
    gray[i] = alpha === 255 ? luma : (luma * alpha + 255 * (255 - alpha) + 127) / 255;
  }
  return gray;
}
