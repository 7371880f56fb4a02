import { describe, expect, it } from 'vitest';
import {
  encodeBefore,
  encodeHeader,
  encodePointer,
  frameCapacity,
  type Tensor,
} from '../../../../shared/wire/frame.ts';
import { workerMessage } from '../../../../shared/wire/messages.ts';
import { receive, type LookUpBuffer } from '../../../../shared/wire/receive.ts';
import { gradientHeader } from '../../../fixtures/tensor-frame.ts';

const nothingShared: LookUpBuffer = () => undefined;

function withBody(header: object): Buffer {
  return encodeBefore(new Uint8Array(frameCapacity(8)), header).bytes;
}

describe('receive', () => {
  it('returns a message without a tensor', () => {
    const { message, tensor } = receive(
      workerMessage,
      encodeHeader({ kind: 'heartbeat' }),
      true,
      nothingShared,
    );
    expect(message).toEqual({ kind: 'heartbeat' });
    expect(tensor).toBeUndefined();
  });

  it('returns the tensor in the frame', () => {
    const { tensor } = receive(workerMessage, withBody(gradientHeader), true, nothingShared);
    expect(tensor?.byteLength).toBe(8);
  });

  it('looks up a tensor in shared memory by its buffer and checksum', () => {
    const asked: unknown[] = [];
    const found: Tensor = { byteLength: 8, checksum: 5n, copyTo: () => true, isStale: () => false };
    const lookUp: LookUpBuffer = (...of) => {
      asked.push(of);
      return found;
    };
    const { tensor } = receive(
      workerMessage,
      encodePointer({ ...gradientHeader, buffer: 3 }, 5n),
      true,
      lookUp,
    );
    expect(tensor).toBe(found);
    expect(asked).toEqual([[3, 5n]]);
  });

  it.each([
    ['a text message', Buffer.from('{}'), false, /text message/],
    ['a message in pieces', [Buffer.from('{}')], true, /text message/],
    ['a result without its body', encodeHeader(gradientHeader), true, /without its body/],
    ['an unexpected body', withBody({ kind: 'heartbeat' }), true, /with a body/],
    [
      'a buffer without shared memory',
      encodePointer({ ...gradientHeader, buffer: 0 }, 5n),
      true,
      /does not share/,
    ],
    ['a buffer and a body', withBody({ ...gradientHeader, buffer: 0 }), true, /does not share/],
    [
      'a message that only a coordinator may send',
      encodeHeader({ kind: 'welcome' }),
      true,
      /violates the protocol/,
    ],
  ])('rejects %s', (_, data, isBinary, says) => {
    expect(() => receive(workerMessage, data, isBinary, nothingShared)).toThrow(says);
  });
});
