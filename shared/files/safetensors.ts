import { z } from 'zod';
import { assert, ClusterError, messageOf } from '../errors.ts';
import { MAX_TENSOR_FILE_HEADER_BYTES } from '../limits.ts';
import { issuesOf } from '../schema.ts';

/**
 * The safetensors format (https://github.com/huggingface/safetensors), float32 only, little-endian:
 *
 *     u64 header length | header: JSON, padded with spaces to a multiple of 8 | the tensors
 */
export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  /** In file order. */
  readonly tensors: readonly Tensor[];
}

const LENGTH_BYTES = 8;
const FLOAT_BYTES = 4;
const METADATA = '__metadata__';

/** Encodes metadata and tensors in the given order. Equal inputs produce equal bytes. */
export function encodeTensors({ metadata, tensors }: TensorFile): Uint8Array {
  let end = 0;
  const entries = tensors.map(({ name, shape, data }): [string, object] => {
    assert(data.length === sizeOf(shape), `tensor ${name} has as many values as its shape says`);
    const start = end;
    end += data.byteLength;
    return [name, { dtype: 'F32', shape, data_offsets: [start, end] }];
  });
  const text = new TextEncoder().encode(
    JSON.stringify(Object.fromEntries([[METADATA, metadata], ...entries])),
  );
  const headerBytes = Math.ceil(text.length / LENGTH_BYTES) * LENGTH_BYTES;
  const file = new Uint8Array(LENGTH_BYTES + headerBytes + end).fill(
    0x20,
    LENGTH_BYTES,
    LENGTH_BYTES + headerBytes,
  );
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.set(text, LENGTH_BYTES);
  let at = LENGTH_BYTES + headerBytes;
  for (const { data } of tensors) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/**
 * Decodes a file; the tensors are copies. Throws a DATA error that names `file` unless every byte
 * is accounted for.
 */
export function decodeTensors(bytes: Uint8Array, file: string): TensorFile {
  const { header, body } = split(bytes, file);
  const { [METADATA]: metadata = {}, ...entries } = parseHeader(header, file);
  const tensors: Tensor[] = [];
  let at = 0;
  for (const [name, entry] of inFileOrder(entries, file)) {
    const [start, end] = entry.data_offsets;
    if (start !== at || end < start)
      throw damaged(
        file,
        `tensor ${name} begins at byte ${start}, but the previous tensor ends at ${at}`,
      );
    if (end - start !== sizeOf(entry.shape) * FLOAT_BYTES) {
      throw damaged(
        file,
        `tensor ${name} has ${end - start} bytes, ` +
          `which does not fit its shape [${entry.shape.join(', ')}]`,
      );
    }
    if (end > body.length)
      throw damaged(file, `tensor ${name} ends at byte ${end}, but the file has ${body.length}`);
    tensors.push({ name, shape: entry.shape, data: floatsOf(body.subarray(start, end)) });
    at = end;
  }
  if (at !== body.length)
    throw damaged(file, `${body.length - at} bytes do not belong to any tensor`);
  return { metadata: metadataSchema.parse(metadata), tensors };
}

/**
 * The tensors of a file in the order of `expected`, since the format leaves their order to the
 * writer. Undefined unless the file has exactly these tensors, each with the expected shape.
 */
export function tensorsLike(
  expected: readonly Pick<Tensor, 'name' | 'shape'>[],
  { tensors }: TensorFile,
): readonly Tensor[] | undefined {
  if (tensors.length !== expected.length) return undefined;
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const found = expected.flatMap(({ name, shape }) => {
    const tensor = byName.get(name);
    return tensor !== undefined && tensor.shape.join() === shape.join() ? [tensor] : [];
  });
  return found.length === expected.length ? found : undefined;
}

const metadataSchema = z.record(z.string(), z.string());
const offset = z.int().min(0);
const entrySchema = z.strictObject({
  dtype: z.literal('F32'),
  shape: z.array(z.int().min(0)).max(8),
  data_offsets: z.tuple([offset, offset]),
});
type Entry = z.infer<typeof entrySchema>;
/** The types of the format; this project uses only F32. */
const typeSchema = z.looseObject({ dtype: z.string().regex(/^[A-Z]\w{0,15}$/) });

function split(bytes: Uint8Array, file: string): { header: Uint8Array; body: Uint8Array } {
  if (bytes.length < LENGTH_BYTES)
    throw damaged(
      file,
      `it has ${bytes.length} bytes, too few to contain the length of its header`,
    );
  const headerBytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(
    0,
    true,
  );
  if (headerBytes > MAX_TENSOR_FILE_HEADER_BYTES) {
    throw damaged(
      file,
      `its header has ${headerBytes} bytes, more than ${MAX_TENSOR_FILE_HEADER_BYTES}`,
    );
  }
  const bodyStart = LENGTH_BYTES + Number(headerBytes);
  if (bodyStart > bytes.length)
    throw damaged(file, `its header of ${headerBytes} bytes extends beyond the end of the file`);
  return { header: bytes.subarray(LENGTH_BYTES, bodyStart), body: bytes.subarray(bodyStart) };
}

function parseHeader(header: Uint8Array, file: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(header),
    );
    const { [METADATA]: metadata = {}, ...entries } = z.record(z.string(), z.unknown()).parse(json);
    return { ...entries, [METADATA]: metadataSchema.parse(metadata) };
  } catch (error) {
    throw damaged(file, `its header is invalid: ${describe(error)}`, error);
  }
}

function inFileOrder(entries: Record<string, unknown>, file: string): [string, Entry][] {
  const parsed = Object.entries(entries).map(([name, value]): [string, Entry] => {
    const entry = entrySchema.safeParse(value);
    const type = typeSchema.safeParse(value).data?.dtype;
    if (type !== undefined && type !== 'F32')
      throw new ClusterError('DATA', `${file}: tensor ${name} has the type ${type}, not F32`, {
        fix: 'convert it to float32',
      });
    if (!entry.success) throw damaged(file, `tensor ${name}: ${describe(entry.error)}`);
    return [name, entry.data];
  });
  return parsed.toSorted(
    ([, a], [, b]) =>
      a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1],
  );
}

/** Copies, because a view would need an aligned start, and slicing a Buffer yields a view. */
function floatsOf(bytes: Uint8Array): Float32Array {
  const floats = new Float32Array(bytes.length / FLOAT_BYTES);
  new Uint8Array(floats.buffer).set(bytes);
  return floats;
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, length) => size * length, 1);
}

function describe(error: unknown): string {
  return error instanceof z.ZodError ? issuesOf(error) : messageOf(error);
}

function damaged(file: string, what: string, cause?: unknown): ClusterError {
  return new ClusterError(
    'DATA',
    `${file} is not an intact safetensors file: ${what}`,
    cause === undefined ? {} : { cause },
  );
}
