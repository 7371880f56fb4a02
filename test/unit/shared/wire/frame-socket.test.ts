import { once } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { assert } from '../../../../shared/errors.ts';
import { FIRST_WRITE_BYTES, FrameSocket } from '../../../../shared/wire/frame-socket.ts';
import {
  encodeBefore,
  MAX_FRAME_HEAD_BYTES,
  frameCapacity,
  type TensorFrame,
} from '../../../../shared/wire/frame.ts';
import { largeHead } from '../../../../shared/wire/websocket-head.ts';
import { TestAuthority } from '../../../fixtures/certificates.ts';
import { connected } from '../../../fixtures/connected-sockets.ts';

function tensor(bytes: number, value: number): TensorFrame {
  const buffer = new Uint8Array(frameCapacity(bytes));
  buffer.fill(value, MAX_FRAME_HEAD_BYTES, MAX_FRAME_HEAD_BYTES + bytes);
  return encodeBefore(buffer, { value });
}

interface Arrival {
  readonly bytes: Buffer;
  /** The memory of the message, if it bypassed ws. */
  readonly memory: ArrayBufferLike | undefined;
}

/**
 * Collects the messages that one end receives. Each message's memory is freed once it has been
 * copied.
 */
function receiver(socket: FrameSocket) {
  const messages: Arrival[] = [];
  let wake = (): void => undefined;
  socket.onMessage((data, isBinary, free) => {
    assert(isBinary && Buffer.isBuffer(data), 'every message is binary');
    messages.push({
      bytes: Buffer.from(data),
      memory: free === undefined ? undefined : data.buffer,
    });
    free?.();
    wake();
  });
  const has = async (count: number): Promise<readonly Arrival[]> => {
    while (messages.length < count) await new Promise<void>((resolve) => (wake = resolve));
    return messages;
  };
  return { messages, has };
}

const ignore = (): void => undefined;
const LARGE = 1024 ** 2;

describe.each([
  ['TCP', false],
  ['TLS', true],
])('a frame socket over %s', (_, isSecure) => {
  it('keeps the order of tensors, small messages and pings in both directions', async () => {
    const { client, server } = await connected(isSecure ? await TestAuthority.make() : undefined);
    const sizes = [LARGE, 8, 65_536, 400_000, 98_304, 98_299, 70_000, LARGE];
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const arrived = receiver(to);
      const expected: Buffer[] = [];
      let sent = 0;
      let pongs = 0;
      from.webSocket.on('pong', () => (pongs += 1));
      for (const [i, size] of sizes.entries()) {
        const frame = tensor(size, i + 1);
        expected.push(Buffer.from(frame.bytes), Buffer.of(i));
        from.sendTensor(frame, () => (sent += 1));
        from.webSocket.ping();
        from.send(Buffer.of(i));
      }
      const messages = await arrived.has(expected.length);
      expect(messages.map(({ bytes }, i) => bytes.equals(expected[i] ?? Buffer.of()))).toEqual(
        expected.map(() => true),
      );
      // Only large messages bypass ws, and each reuses the memory of the one before it.
      const past = messages.filter(({ memory }) => memory !== undefined);
      expect(past.map(({ bytes }) => bytes.length > 65_536)).toEqual(
        sizes.filter((size) => size > 8).map(() => true),
      );
      expect(new Set(past.map(({ memory }) => memory)).size).toBe(1);
      while (pongs < sizes.length) await once(from.webSocket, 'pong');
      expect(sent).toBe(sizes.length);
    }
  });

  it('writes a tensor in one piece over TCP and in two over TLS', async () => {
    const { client, server } = await connected(isSecure ? await TestAuthority.make() : undefined);
    const writes = vi.spyOn(server.socket, 'write');
    const frame = tensor(400_000, 1);
    const arrived = receiver(client);
    server.sendTensor(frame, ignore);
    const whole = frame.bytes.length + 10;
    const lengths = writes.mock.calls.map(([bytes]) => bytes.length);
    expect(lengths).toEqual(isSecure ? [FIRST_WRITE_BYTES, whole - FIRST_WRITE_BYTES] : [whole]);
    await arrived.has(1);
  });

  it('frees the buffer of every tensor, whether it was sent or not', async () => {
    const { client, server } = await connected(isSecure ? await TestAuthority.make() : undefined);
    server.webSocket.on('error', ignore);
    const frames = [tensor(LARGE, 1), tensor(LARGE, 2), tensor(8, 3)];
    const sent = frames.map(
      (frame) => new Promise<void>((resolve) => server.sendTensor(frame, resolve)),
    );
    server.webSocket.terminate();
    sent.push(new Promise((resolve) => server.sendTensor(tensor(LARGE, 4), resolve)));
    await Promise.all(sent);
    await once(client.webSocket, 'close');
  });

  it('closes after the tensor that is being sent, without sending another', async () => {
    const { client, server } = await connected(isSecure ? await TestAuthority.make() : undefined);
    const arrived = receiver(client);
    const closed = once(client.webSocket, 'close');
    client.webSocket.on('error', (error) => expect.unreachable(error.message));
    server.sendTensor(tensor(LARGE, 1), ignore);
    server.webSocket.close(4000, 'enough');
    await new Promise<void>((resolve) => server.sendTensor(tensor(LARGE, 2), resolve));
    const [code, reason] = await closed;
    expect([code, String(reason)]).toEqual([4000, 'enough']);
    expect(arrived.messages.map(({ bytes }) => bytes.at(-9))).toEqual([1]);
  });

  it('receives the messages that arrive while it closes', async () => {
    const { client, server } = await connected(isSecure ? await TestAuthority.make() : undefined);
    const closed = once(server.webSocket, 'close');
    const arrived = receiver(server);
    client.sendTensor(tensor(LARGE, 1), ignore);
    client.sendTensor(tensor(LARGE, 2), ignore);
    await arrived.has(1);
    server.webSocket.close(4001);
    expect((await closed)[0]).toBe(4001);
    expect(arrived.messages.map(({ bytes }) => bytes.at(-9))).toEqual([1, 2]);
  });

  it.each([
    ['an unknown opcode', Buffer.of(0xf2, 0x80, 0, 0, 0, 0), 1002],
    ['a frame without a mask', Buffer.of(0x82, 1, 0), 1002],
    ['text that is not UTF-8', Buffer.of(0x81, 0x81, 0, 0, 0, 0, 0xff), 1007],
  ])('delivers nothing after %s, and closes as ws does', async (_what, wrong, code) => {
    const { client, server } = await connected(isSecure ? await TestAuthority.make() : undefined);
    const failed = once(server.webSocket, 'error');
    const arrived = receiver(server);
    client.webSocket.on('error', ignore);
    const large = tensor(100_000, 1);
    client.sendTensor(large, ignore);
    client.socket.write(
      Buffer.concat([
        wrong,
        largeHead(large.bytes.length, true),
        large.bytes,
        Buffer.alloc(50_000),
      ]),
    );
    await failed;
    expect((await once(client.webSocket, 'close'))[0]).toBe(code);
    await (server.webSocket.readyState === WebSocket.CLOSED
      ? undefined
      : once(server.webSocket, 'close'));
    expect(arrived.messages).toHaveLength(1);
  });

  it("delivers nothing after the peer's close frame", async () => {
    const { client, server } = await connected(isSecure ? await TestAuthority.make() : undefined);
    const arrived = receiver(server);
    server.webSocket.on('error', (error) => expect.unreachable(error.message));
    client.webSocket.on('error', ignore);
    const closed = once(server.webSocket, 'close');
    const large = tensor(100_000, 1);
    const farewell = Buffer.of(0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa0);
    client.socket.write(
      Buffer.concat([farewell, largeHead(large.bytes.length, true), large.bytes]),
    );
    setImmediate(() => client.socket.write(Buffer.of(0x82, 0x81, 0, 0, 0, 0, 1)));
    expect((await closed)[0]).toBe(4000);
    expect(arrived.messages).toEqual([]);
  });
});
