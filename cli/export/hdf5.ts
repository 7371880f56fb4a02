import type { FloatTensor } from './exported-model.ts';
import { bytesOf } from './exported-model.ts';

/** A group of an HDF5 file: groups and datasets by name. */
export interface Hdf5Group {
  readonly [name: string]: Hdf5Group | FloatTensor;
}

/**
 * The part of HDF5 that float32 arrays in groups need
 * (https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html): a superblock of version 2,
 * object headers of version 2 without times, groups that contain their links, and contiguous
 * datasets. HDF5 1.8 and later read it. Numbers are little-endian; offsets and lengths have eight
 * bytes.
 */
const UNDEFINED = Buffer.alloc(8, 0xff);
const SUPERBLOCK_BYTES = 48;
const ALIGNMENT_BYTES = 8;
const MAX_NAME_BYTES = 255;

/** Encodes a file whose root group is `root`. Equal inputs produce equal bytes. */
export function encodeHdf5(root: Hdf5Group): Uint8Array {
  const file = new Blocks();
  const rootAddress = writeGroup(file, root);
  const superblock = Buffer.concat([
    Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'),
    // Version, size of offsets, size of lengths, flags.
    Buffer.of(2, 8, 8, 0),
    // Base address, superblock extension, end of the file, root group.
    u64(0),
    UNDEFINED,
    u64(file.end),
    u64(rootAddress),
  ]);
  return Buffer.concat([withChecksum(superblock), ...file.blocks]);
}

/** What follows the superblock. */
class Blocks {
  readonly blocks: Uint8Array[] = [];
  end = SUPERBLOCK_BYTES;

  /** Appends a block and returns its address. */
  append(bytes: Uint8Array): number {
    const address = this.end;
    const padding = -bytes.length & (ALIGNMENT_BYTES - 1);
    this.blocks.push(bytes, Buffer.alloc(padding));
    this.end += bytes.length + padding;
    return address;
  }
}

/** A message of an object header: its type and its data. */
type Message = readonly [type: number, data: Uint8Array];

function writeGroup(file: Blocks, group: Hdf5Group): number {
  const links = Object.entries(group).map(([name, member]): Message => {
    const address = isTensor(member) ? writeDataset(file, member) : writeGroup(file, member);
    return [0x06, link(name, address)];
  });
  // Link info: version, flags, and no heap or index, since the links are messages.
  const info = Buffer.concat([Buffer.of(0, 0), UNDEFINED, UNDEFINED]);
  return file.append(objectHeader([[0x02, info], [0x0a, Buffer.of(0, 0)], ...links]));
}

function isTensor(member: Hdf5Group | FloatTensor): member is FloatTensor {
  return member['data'] instanceof Float32Array;
}

/** A hard link: version, flags (the name's length has one byte), name, address. */
function link(name: string, address: number): Uint8Array {
  const text = Buffer.from(name);
  if (text.length > MAX_NAME_BYTES) throw new RangeError(`the name ${name} is too long`);
  return Buffer.concat([Buffer.of(1, 0, text.length), text, u64(address)]);
}

function writeDataset(file: Blocks, tensor: FloatTensor): number {
  const { shape } = tensor;
  const data = bytesOf(tensor);
  const address = file.append(data);
  // Version, number of dimensions, flags, type (an array), sizes.
  const dataspace = Buffer.concat([Buffer.of(2, shape.length, 0, 1), ...shape.map(u64)]);
  // Version, flags (allocated late, written if set), and no value of its own.
  const fillValue = Buffer.of(3, 0x0a);
  // Version, class (contiguous), address, size.
  const layout = Buffer.concat([Buffer.of(3, 1), u64(address), u64(data.length)]);
  return file.append(
    objectHeader([
      [0x01, dataspace],
      [0x03, float32],
      [0x05, fillValue],
      [0x08, layout],
    ]),
  );
}

/** The datatype of an IEEE float32, little-endian. */
const float32 = Buffer.concat([
  // Version 1 and class 1; the mantissa's first bit is implied, and bit 31 is the sign; 4 bytes.
  Buffer.of(0x11, 0x20, 31, 0, 4, 0, 0, 0),
  // Offset and precision (16 bits each); location and size of the exponent, then the mantissa.
  Buffer.of(0, 0, 32, 0, 23, 8, 0, 23),
  // The exponent's bias.
  Buffer.of(127, 0, 0, 0),
]);

function objectHeader(messages: readonly Message[]): Uint8Array {
  const body = Buffer.concat(
    messages.flatMap(([type, data]) => {
      // Type, size, flags.
      const head = Buffer.of(type, 0, 0, 0);
      head.writeUInt16LE(data.length, 1);
      return [head, data];
    }),
  );
  // Version and flags: the size of the messages has 4 bytes.
  const head = Buffer.concat([Buffer.from('OHDR'), Buffer.of(2, 2), Buffer.alloc(4)]);
  head.writeUInt32LE(body.length, 6);
  return withChecksum(Buffer.concat([head, body]));
}

function withChecksum(bytes: Uint8Array): Uint8Array {
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(lookup3(bytes));
  return Buffer.concat([bytes, checksum]);
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** Bob Jenkins' lookup3, HDF5's checksum (https://burtleburtle.net/bob/c/lookup3.c). */
export function lookup3(bytes: Uint8Array): number {
  let [a, b, c] = Array<number>(3).fill((0xdeadbeef + bytes.length) | 0) as [
    number,
    number,
    number,
  ];
  if (bytes.length === 0) return c >>> 0;
  const padded = Buffer.alloc(12 * Math.ceil(bytes.length / 12));
  padded.set(bytes);
  for (let at = 0; ; at += 12) {
    a = (a + padded.readInt32LE(at)) | 0;
    b = (b + padded.readInt32LE(at + 4)) | 0;
    c = (c + padded.readInt32LE(at + 8)) | 0;
    if (at + 12 === padded.length) break;
    a = ((a - c) ^ rotated(c, 4)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotated(a, 6)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotated(b, 8)) | 0;
    b = (b + a) | 0;
    a = ((a - c) ^ rotated(c, 16)) | 0;
    c = (c + b) | 0;
    b = ((b - a) ^ rotated(a, 19)) | 0;
    a = (a + c) | 0;
    c = ((c - b) ^ rotated(b, 4)) | 0;
    b = (b + a) | 0;
  }
  c = ((c ^ b) - rotated(b, 14)) | 0;
  a = ((a ^ c) - rotated(c, 11)) | 0;
  b = ((b ^ a) - rotated(a, 25)) | 0;
  c = ((c ^ b) - rotated(b, 16)) | 0;
  a = ((a ^ c) - rotated(c, 4)) | 0;
  b = ((b ^ a) - rotated(a, 14)) | 0;
  c = ((c ^ b) - rotated(b, 24)) | 0;
  return c >>> 0;
}

function rotated(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
