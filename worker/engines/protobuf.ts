/**
 * Writes messages of protocol buffers (https://protobuf.dev/programming-guides/encoding/). A field
 * is a tag, which is its number and its wire type, followed by its value.
 */
export type Field = Uint8Array;

const VARINT = 0;
const BYTES = 2;

const text = new TextEncoder();

/** The message with these fields. */
export function message(...fields: readonly Field[]): Uint8Array {
  return Buffer.concat(fields);
}

/** A field of type int32, int64, bool or enum. */
export function integer(field: number, value: number): Field {
  return Buffer.from([...varint(tag(field, VARINT)), ...varint(value)]);
}

/** A field that contains text, bytes or another message. */
export function nested(field: number, value: Uint8Array | string): Field {
  const bytes = typeof value === 'string' ? text.encode(value) : value;
  return Buffer.concat([
    Buffer.from([...varint(tag(field, BYTES)), ...varint(bytes.length)]),
    bytes,
  ]);
}

/** A repeated field of type int32 or int64. */
export function integers(field: number, values: readonly number[]): Field {
  return nested(field, Uint8Array.from(values.flatMap(varint)));
}

/** A repeated field of type float. */
export function floats(field: number, values: readonly number[]): Field {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeFloatLE(value, 4 * i));
  return nested(field, bytes);
}

function tag(field: number, wireType: number): number {
  return 8 * field + wireType;
}

/** Seven bits per byte, lowest first; negative numbers have 64 bits. */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return bytes;
}
