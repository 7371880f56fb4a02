import type { Rgba } from './rgba.ts';

/** The tag of the orientation in Exif, and its type: an integer of 16 bits. */
const [ORIENTATION, SHORT] = [0x0112, 3];
const EXIF = Buffer.from('Exif\0\0', 'latin1');
const ENTRY_BYTES = 12;

/**
 * The orientation, 1 to 8, that a camera recorded in the data of a JPEG's segment APP1 (Exif 2.3,
 * 4.6.4); 1, upright, if there is none.
 */
export function orientationOf(data: Uint8Array): number {
  if (!EXIF.equals(data.subarray(0, EXIF.length))) return 1;
  const tiff = data.subarray(EXIF.length);
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  try {
    const isLittle = view.getUint16(0) === 0x4949;
    const directory = view.getUint32(4, isLittle);
    const entries = view.getUint16(directory, isLittle);
    for (let i = 0; i < entries; i++) {
      const at = directory + 2 + i * ENTRY_BYTES;
      if (view.getUint16(at, isLittle) !== ORIENTATION) continue;
      const value = view.getUint16(at + 8, isLittle);
      return view.getUint16(at + 2, isLittle) === SHORT && value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    // Exif that ends early says nothing about the pixels.
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

/** Turns and mirrors a picture with this orientation, 1 to 8, so that it is upright. */
export function upright(picture: Rgba, orientation: number): Rgba {
  if (orientation === 1) return picture;
  const { rows, columns, bytes } = picture;
  const isTransposed = orientation >= 5;
  const size = isTransposed ? { rows: columns, columns: rows } : { rows, columns };
  const isUpsideDown = [3, 4, 6, 7].includes(orientation);
  const isMirrored = [2, 3, 7, 8].includes(orientation);
  const turned = new Uint8Array(bytes.length);
  for (let to = 0, row = 0; row < size.rows; row++)
    for (let column = 0; column < size.columns; column++, to += 4) {
      const [down, across] = isTransposed ? [column, row] : [row, column];
      const from =
        (isUpsideDown ? rows - 1 - down : down) * columns +
        (isMirrored ? columns - 1 - across : across);
      for (let channel = 0; channel < 4; channel++)
        turned[to + channel] = bytes[4 * from + channel] ?? 0;
    }
  return { ...size, bytes: turned };
}
