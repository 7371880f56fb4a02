import { assert } from '../errors.ts';

const VARINT = 0;
const FIXED_64 = 1;
const BYTES = 2;
const FIXED_32 = 5;
/** The bytes of a varint that are reserved for a length: enough for 256 MiB. */
const LENGTH_BYTES = 4;

/**
 * Writes a message of protocol buffers (https://protobuf.dev/programming-guides/encoding/). A field
 * is a tag, which is its number and its wire type, followed by its value. The length of a nested
 * message is only known after its fields, so a fixed number of bytes is reserved for it: a varint
 * may be longer than necessary.
 */
export class MessageWriter {
  #bytes = Buffer.alloc(65_536);
  #end = 0;
  readonly #lengthBytes: number;

  /** `lengthBytes` is the size of each length. */
  constructor(lengthBytes = LENGTH_BYTES) {
    this.#lengthBytes = lengthBytes;
  }

  /** The bytes written so far. */
  result(): Uint8Array {
    return this.#bytes.subarray(0, this.#end);
  }

  /** Begins a new message in the same memory, which invalidates the last result. */
  clear(): void {
    this.#end = 0;
  }

  /** A field of type int32, int64, bool or enum. */
  integer(field: number, value: number): void {
    this.#varint(8 * field + VARINT);
    this.#varint(value);
  }

  /** A repeated field of type int32 or int64. */
  integers(field: number, values: readonly number[]): void {
    this.nested(field, () => values.forEach((value) => this.#varint(value)));
  }

  /** A repeated field of type float. */
  floats(field: number, values: readonly number[]): void {
    this.nested(field, () => {
      for (const value of values) {
        this.#reserve(4);
        this.#end = this.#bytes.writeFloatLE(value, this.#end);
      }
    });
  }

  /** A field of type float. */
  float(field: number, value: number): void {
    this.#varint(8 * field + FIXED_32);
    this.#reserve(4);
    this.#end = this.#bytes.writeFloatLE(value, this.#end);
  }

  /** A field of type double. */
  double(field: number, value: number): void {
    this.#varint(8 * field + FIXED_64);
    this.#reserve(8);
    this.#end = this.#bytes.writeDoubleLE(value, this.#end);
  }

  /** A field of type bytes. */
  bytes(field: number, bytes: Uint8Array): void {
    this.nested(field, () => {
      this.#reserve(bytes.length);
      this.#bytes.set(bytes, this.#end);
      this.#end += bytes.length;
    });
  }

  text(field: number, text: string): void {
    this.nested(field, () => {
      this.#reserve(3 * text.length);
      this.#end += this.#bytes.write(text, this.#end);
    });
  }

  /** A field that contains another message, whose fields `write` writes. */
  nested(field: number, write: () => void): void {
    this.#varint(8 * field + BYTES);
    this.#reserve(this.#lengthBytes);
    const start = this.#end + this.#lengthBytes;
    this.#end = start;
    write();
    let length = this.#end - start;
    assert(length < 2 ** (7 * this.#lengthBytes), `a message of ${length} bytes is too long`);
    for (let i = start - this.#lengthBytes; i < start; i++) {
      this.#bytes[i] = i === start - 1 ? length : (length & 127) | 128;
      length >>>= 7;
    }
  }

  /** Seven bits of an int32 per byte, lowest first; a negative one is written with 64 bits. */
  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    for (let i = 0; i < 9 && (rest > 127 || rest < 0); i++) {
      this.#bytes[this.#end++] = (rest & 127) | 128;
      rest >>= 7;
    }
    this.#bytes[this.#end++] = rest < 0 ? 1 : rest;
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return;
    const larger = Buffer.alloc(2 * Math.max(this.#bytes.length, bytes));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}
