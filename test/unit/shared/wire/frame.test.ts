import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClusterError } from '../../../../shared/errors.ts';
import {
  CHECKSUM_BYTES,
  decodeFrame,
  encodeBefore,
  encodeHeader,
  MAX_FRAME_HEAD_BYTES,
  frameCapacity,
  tensorOf,
} from '../../../../shared/wire/frame.ts';
import { MAX_HEADER_BYTES } from '../../../../shared/limits.ts';
import {
  coordinatorMessage,
  parseMessage,
  workerMessage,
} from '../../../../shared/wire/messages.ts';
import { gradientHeader } from '../../../fixtures/tensor-frame.ts';

/**
 * {"kind":"heartbeat"}: a map of one entry with two short strings. Its CRC-32 is 0x80c47ac4,
 * calculated with Python's zlib.
 */
const HEARTBEAT = '10000000' + 'c47ac480' + '81a46b696e64a9686561727462656174';

function bodyFrame(values: number[]): Buffer {
  const bytes = 4 * values.length;
  const buffer = new Uint8Array(frameCapacity(bytes));
  buffer.set(new Uint8Array(Float32Array.from(values).buffer), MAX_FRAME_HEAD_BYTES);
  new DataView(buffer.buffer, buffer.length - CHECKSUM_BYTES).setBigUint64(
    0,
    0x0123456789abcdefn,
    true,
  );
  return encodeBefore(buffer, { kind: 'heartbeat' }).bytes;
}

describe('a frame', () => {
  it('without a body consists of a length, a CRC-32 and msgpack', () => {
    expect(encodeHeader({ kind: 'heartbeat' }).toString('hex')).toBe(HEARTBEAT);
    expect(decodeFrame(Buffer.from(HEARTBEAT, 'hex'))).toEqual({
      header: { kind: 'heartbeat' },
      body: undefined,
      checksum: 0n,
    });
  });

  it('with a body is padded to 64 bytes, then has raw float32 values and a checksum', () => {
    const expected =
      HEARTBEAT + '00'.repeat(64 - 24) + '0000803f' + '000000c0' + 'efcdab8967452301';
    expect(bodyFrame([1, -2]).toString('hex')).toBe(expected);
    const { header, body, checksum } = decodeFrame(Buffer.from(expected, 'hex'));
    expect(header).toEqual({ kind: 'heartbeat' });
    expect(Buffer.from(body ?? []).toString('hex')).toBe('0000803f000000c0');
    expect(checksum).toBe(0x0123456789abcdefn);
  });

  it('frees its memory once its body is copied, and does not read it again', () => {
    const frame = bodyFrame([1, -2]);
    let freed = 0;
    const tensor = tensorOf(decodeFrame(frame), () => {
      freed += 1;
      frame.fill(0xff);
    });
    const values = new Float32Array(2);
    expect(tensor?.copyTo(new Uint8Array(values.buffer))).toBe(true);
    expect(tensor?.copyTo(new Uint8Array(values.buffer))).toBe(false);
    expect([...values, freed]).toEqual([1, -2, 1]);
  });

  it('is rejected at every truncation that is not itself a whole frame', () => {
    const frame = bodyFrame([1, 2, 3]);
    for (let length = 0; length < frame.length; length++) {
      // The header alone is a whole frame without a body. A receiver rejects it because its kind
      // requires a body.
      if (length === 24) continue;
      const cut = frame.subarray(0, length);
      // A frame that is truncated in its body has a shorter body and a different checksum. The
      // receiver's length check rejects it.
      if (length >= 64 + CHECKSUM_BYTES) expect(decodeFrame(cut).body?.length).not.toBe(12);
      else expect(() => decodeFrame(cut)).toThrow(ClusterError);
    }
  });

  it('with a flipped bit is rejected, or has a different body or checksum', () => {
    const frame = bodyFrame([1, 2]);
    for (let bit = 0; bit < 8 * frame.length; bit++) {
      const flipped = Buffer.from(frame);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      if (bit >> 3 < 64) expect(() => decodeFrame(flipped)).toThrow(ClusterError);
      else {
        const { body, checksum } = decodeFrame(flipped);
        expect(
          Buffer.concat([body ?? Buffer.alloc(0), Buffer.from(checksum.toString(16))]),
        ).not.toEqual(
          Buffer.concat([frame.subarray(64, 72), Buffer.from(0x0123456789abcdefn.toString(16))]),
        );
      }
    }
  });

  it('has a header of at most MAX_HEADER_BYTES', () => {
    const claim = Buffer.alloc(16);
    claim.writeUInt32LE(0xffffffff, 0);
    expect(() => decodeFrame(claim)).toThrow('a header of 4294967295 bytes');
    expect(() => encodeHeader({ text: 'x'.repeat(MAX_HEADER_BYTES) })).toThrow('MAX_HEADER_BYTES');
  });

  it('leaves room for a WebSocket header before even the longest frame header', () => {
    const memory = new Uint8Array(64 + frameCapacity(8)).fill(7);
    const buffer = memory.subarray(64);
    const frame = encodeBefore(buffer, { text: 'x'.repeat(MAX_HEADER_BYTES - 9) });
    expect(frame.bytes.readUInt32LE(0)).toBe(MAX_HEADER_BYTES);
    const message = frame.after(Buffer.alloc(14, 9));
    expect([message.length, message[13]]).toEqual([frame.bytes.length + 14, 9]);
    expect(memory.subarray(0, 64)).toEqual(new Uint8Array(64).fill(7));
  });

  it('of arbitrary bytes never throws any error but a ClusterError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          decodeFrame(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(ClusterError);
        }
      }),
    );
  });
});

describe('messages', () => {
  it('are parsed without any change', () => {
    expect(parseMessage(workerMessage, gradientHeader)).toEqual(gradientHeader);
  });

  it.each([
    ['an unknown kind', { kind: 'shutdown' }],
    ['a missing field', { ...gradientHeader, term: undefined }],
    ['an extra field', { ...gradientHeader, weights: [] }],
    ['a negative number', { ...gradientHeader, correct: -1 }],
    ['a fraction', { ...gradientHeader, step: 1.5 }],
    ['text instead of a number', { ...gradientHeader, step: '1' }],
    [
      'a kind that only the coordinator may send',
      { kind: 'lease', run: 'r', term: 1, step: 1, task: 'step', parts: [1] },
    ],
    ['nothing', undefined],
    ['an array', [gradientHeader]],
  ])('with %s are rejected', (_, header) => {
    expect(() => parseMessage(workerMessage, header)).toThrow(ClusterError);
  });

  it('from a worker are rejected if a coordinator is expected to have sent them', () => {
    expect(() => parseMessage(coordinatorMessage, gradientHeader)).toThrow(ClusterError);
  });

  it('fit in a header for a cluster of any size', () => {
    const assignment = Array.from({ length: 256 }, (_, i) => [255, 256 + i]);
    const step = { kind: 'step', run: 'x'.repeat(64), term: 2 ** 31, step: 2 ** 31, assignment };
    expect(parseMessage(coordinatorMessage, step)).toEqual(step);
    expect(encodeHeader(step).length).toBeLessThan(MAX_HEADER_BYTES);
  });
});
