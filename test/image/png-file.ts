import { crc32, deflateSync } from 'node:zlib';

/** How a PNG is written: its colour type (0 gray, 2 colour, 3 palette, 4 gray and alpha, 6 colour and alpha) and its bits. */
export interface PngKind {
  readonly colourType: 0 | 2 | 3 | 4 | 6;
  readonly bits: 1 | 2 | 4 | 8 | 16;
  readonly interlaced?: boolean;
  readonly palette?: readonly (readonly [number, number, number])[];
  /** The tRNS chunk. */
  readonly transparency?: Uint8Array;
}

const channelsOf = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 } as const;
/** Adam7: first row and column, and steps, of each pass. */
const passes = [
  ...[
    [0, 0, 8, 8],
    [0, 4, 8, 8],
    [4, 0, 8, 4],
    [0, 2, 4, 4],
    [2, 0, 4, 2],
    [0, 1, 2, 2],
    [1, 0, 2, 1],
  ],
] as const;

/** A PNG as its specification says, without filters; `sampleAt` gives the samples of a pixel, as many as it has channels. */
export function pngFile(
  { colourType, bits, interlaced = false, palette, transparency }: PngKind,
  rows: number,
  columns: number,
  sampleAt: (row: number, column: number) => readonly number[],
): Buffer {
  const lines: Buffer[] = [];
  const line = (row: number, first: number, step: number) => {
    const samples: number[] = [];
    for (let column = first; column < columns; column += step) samples.push(...sampleAt(row, column));
    if (samples.length > 0) lines.push(Buffer.concat([Buffer.of(0), packed(samples, bits)]));
  };
  for (const [firstRow, firstColumn, down, across] of interlaced ? passes : [[0, 0, 1, 1] as const])
    for (let row = firstRow; row < rows; row += down) line(row, firstColumn, across);
  const kind = { colourType, bits, interlaced };
  const extra = [
    ...(palette === undefined ? [] : [chunk('PLTE', Uint8Array.from(palette.flat()))]),
    ...(transparency === undefined ? [] : [chunk('tRNS', transparency)]),
  ];
  return assemble(kind, rows, columns, extra, deflateSync(Buffer.concat(lines)));
}

/** A file that says what it is, with whatever data. */
export function assemble(
  { colourType, bits, interlaced = false }: PngKind,
  rows: number,
  columns: number,
  extra: readonly Buffer[],
  data: Uint8Array,
): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(columns, 0);
  head.writeUInt32BE(rows, 4);
  head.set([bits, colourType, 0, 0, interlaced ? 1 : 0], 8);
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  return Buffer.concat([
    signature,
    chunk('IHDR', head),
    ...extra,
    chunk('IDAT', data),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

export function channels({ colourType }: PngKind): number {
  return channelsOf[colourType];
}

function packed(samples: readonly number[], bits: number): Buffer {
  const bytes = Buffer.alloc(Math.ceil((samples.length * bits) / 8));
  for (const [index, sample] of samples.entries()) {
    if (bits === 16) bytes.writeUInt16BE(sample, 2 * index);
    else {
      const at = index * bits;
      bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (sample << (8 - bits - (at & 7)));
    }
  }
  return bytes;
}

function chunk(type: string, data: Uint8Array): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, checksum]);
}
