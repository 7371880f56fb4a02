import jpeg from 'jpeg-js';
import { ClusterError } from '../errors.ts';
import { MAX_IMAGE_PIXELS } from '../limits.ts';
import { MAX_JPEG_SCANS } from '../limits/dataset.ts';
import { orientationOf, upright } from './orientation.ts';
import type { Rgba } from './rgba.ts';

/** Markers of a JPEG, without the FF before them. */
const [SOI, EOI, SOS, DQT, DHT, DRI, APP0, APP1, APP14, APP15, COM] = [
  0xd8, 0xd9, 0xda, 0xdb, 0xc4, 0xdd, 0xe0, 0xe1, 0xee, 0xef, 0xfe,
] as const;
/** Baseline, extended and progressive frames with Huffman coding. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);
/** All other frames, such as lossless ones and those with arithmetic coding. */
const isOtherFrame = (marker: number) => marker >= 0xc0 && marker <= 0xcf && marker !== 0xcc;
const isRestart = (marker: number) => marker >= 0xd0 && marker <= 0xd7;
/** Memory for a picture of MAX_IMAGE_PIXELS in three colours. */
const MAX_DECODER_MEGABYTES = 1024;

/** Whether a file begins like a JPEG. */
export function isJpeg(file: Uint8Array): boolean {
  return file[0] === 0xff && file[1] === SOI && file[2] === 0xff;
}

/**
 * Decodes a JPEG with Huffman coding: gray or in three colours, sequential or progressive, with 8
 * bits. A picture that a camera recorded in another orientation is turned upright. jpeg-js gets
 * only the segments that it needs, and only after all of them have been checked: a file is at fault
 * if it lacks its end. Throws an IMAGE error that names the file.
 */
export function decodeJpeg(file: Uint8Array, path: string): Rgba {
  const { parts, hasLuma, orientation } = segmentsOf(file, path);
  try {
    const { width, height, data } = jpeg.decode(Buffer.concat(parts), {
      useTArray: true,
      formatAsRGBA: true,
      tolerantDecoding: false,
      colorTransform: hasLuma,
      maxResolutionInMP: MAX_IMAGE_PIXELS / 1e6,
      maxMemoryUsageInMB: MAX_DECODER_MEGABYTES,
    });
    return upright({ rows: height, columns: width, bytes: data }, orientation);
  } catch (error) {
    throw refused(path, 'it is a damaged JPEG', 'save it again', error);
  }
}

interface Segments {
  /** The file without the segments that do not change its pixels. */
  readonly parts: readonly Uint8Array[];
  /** Whether three components are luma and two differences of colour, and not red, green, blue. */
  readonly hasLuma: boolean;
  /** The orientation that the camera recorded, 1 to 8. */
  readonly orientation: number;
}

/** Walks over all segments. Throws IMAGE unless they describe one picture of a supported kind. */
function segmentsOf(file: Uint8Array, path: string): Segments {
  const parts: Uint8Array[] = [file.subarray(0, 2)];
  let [hasFrame, hasLuma, orientation, scans, at] = [false, true, 1, 0, 2];
  for (;;) {
    // Any number of FF bytes may precede a marker.
    while (file[at] === 0xff && file[at + 1] === 0xff) at++;
    const marker = file[at] === 0xff ? file[at + 1] : undefined;
    if (marker === undefined) throw damaged(path);
    if (marker === EOI) break;
    const end = at + 2 + wordAt(file, at + 2);
    if (end < at + 4 || end > file.length) throw damaged(path);
    const segment = file.subarray(at, end);
    at = end;
    if (marker === APP14) hasLuma = hasLuma && !isAdobeRgb(segment);
    if (marker === APP1 && orientation === 1) orientation = orientationOf(segment.subarray(4));
    if (marker === COM || (marker >= APP0 && marker <= APP15)) continue;
    if (FRAMES.has(marker)) {
      if (hasFrame) throw damaged(path);
      hasFrame = true;
      hasLuma = checkFrame(segment, path) && hasLuma;
    } else if (marker === SOS) {
      if (!hasFrame) throw damaged(path);
      if (++scans > MAX_JPEG_SCANS)
        throw refused(
          path,
          `it has more than ${MAX_JPEG_SCANS} scans (MAX_JPEG_SCANS)`,
          'save it again',
        );
      at = scanEnd(file, end);
    } else if (marker !== DQT && marker !== DHT && marker !== DRI) {
      if (!isOtherFrame(marker)) throw damaged(path);
      throw refused(path, 'it is a JPEG of a rare kind', 'save it as a usual JPEG or as a PNG');
    }
    parts.push(marker === SOS ? file.subarray(end - segment.length, at) : segment);
  }
  if (scans === 0) throw damaged(path);
  return { parts: [...parts, Uint8Array.of(0xff, EOI)], hasLuma, orientation };
}

/** The end of the compressed data that begins at `at`: the next marker that is not part of it. */
function scanEnd(file: Uint8Array, at: number): number {
  for (let i = at; i + 1 < file.length; i++) {
    const next = file[i + 1] ?? 0;
    if (file[i] === 0xff && next !== 0 && next !== 0xff && !isRestart(next)) return i;
  }
  return file.length;
}

/** Throws unless the frame is supported. False if its components are red, green and blue. */
function checkFrame(segment: Uint8Array, path: string): boolean {
  const [bits, rows, columns] = [segment[4], wordAt(segment, 5), wordAt(segment, 7)];
  const components = segment[9] ?? 0;
  if (segment.length !== 10 + 3 * components) throw damaged(path);
  if (rows === 0 || columns === 0) throw refused(path, 'it has no pixels', 'save it again');
  if (rows * columns > MAX_IMAGE_PIXELS) {
    const most = `${MAX_IMAGE_PIXELS} (MAX_IMAGE_PIXELS)`;
    throw refused(path, `it has ${rows} x ${columns} pixels, more than ${most}`, 'scale it down');
  }
  if (bits !== 8 || (components !== 1 && components !== 3)) {
    const what = `it has ${bits} bits and ${components} components`;
    throw refused(path, what, 'save it in gray or RGB with 8 bits');
  }
  const ids = Array.from({ length: components }, (_, i) => segment[10 + 3 * i] ?? 0);
  if (new Set(ids).size < components) throw damaged(path);
  for (let i = 0; i < components; i++) {
    const sampling = segment[11 + 3 * i] ?? 0;
    const [across, down] = [sampling >> 4, sampling & 15];
    if (across < 1 || across > 4 || down < 1 || down > 4) throw damaged(path);
  }
  return String.fromCharCode(...ids) !== 'RGB';
}

/** Adobe's segment says that three components are not transformed. */
function isAdobeRgb(segment: Uint8Array): boolean {
  return Buffer.from(segment.subarray(4, 9)).toString('latin1') === 'Adobe' && segment[15] === 0;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function damaged(path: string): ClusterError {
  return refused(path, 'it is a damaged JPEG', 'save it again');
}

function refused(path: string, what: string, fix: string, cause?: unknown): ClusterError {
  const more = cause === undefined ? {} : { cause };
  return new ClusterError('IMAGE', `${path}: ${what}`, { fix, ...more });
}
