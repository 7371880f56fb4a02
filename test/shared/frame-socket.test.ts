import { once } from 'node:events';
import { createServer as createPlain } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { portOf } from '../../coordinator/http-server.ts';
import { assert } from '../../shared/errors.ts';
import { FrameSocket } from '../../shared/frame-socket.ts';
import { encodeBefore, MAX_FRAME_HEAD_BYTES, roomBytes, type TensorFrame } from '../../shared/frame.ts';
import { TestAuthority } from '../worker/certificates.ts';

const MAX_BYTES = roomBytes(1024 ** 2);

/** Both ends of a connection. */
async function connected(isSecure: boolean): Promise<{ client: FrameSocket; server: FrameSocket }> {
  const authority = isSecure ? await TestAuthority.make() : undefined;
  const http = authority === undefined ? createPlain() : createSecure(await authority.server());
  const settings = { perMessageDeflate: false, maxPayload: MAX_BYTES, maxFragments: 1 };
  const webSockets = new WebSocketServer({ ...settings, noServer: true });
  const accepted = new Promise<FrameSocket>((resolve) => {
    http.on('upgrade', (request, socket, head) =>
      webSockets.handleUpgrade(request, socket, head, (webSocket) =>
        resolve(new FrameSocket(webSocket, request.socket, 'server', MAX_BYTES)),
      ),
    );
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const webSocket = new WebSocket(`${isSecure ? 'wss' : 'ws'}://127.0.0.1:${portOf(http) ?? 0}`, {
    ...settings,
    ...(authority === undefined ? {} : { ca: authority.pair.certificate }),
    generateMask: (mask) => void mask.fill(0),
  });
  const client = await new Promise<FrameSocket>((resolve, reject) => {
    webSocket.once('error', reject);
    webSocket.once('upgrade', ({ socket }) =>
      webSocket.once('open', () => resolve(new FrameSocket(webSocket, socket, 'client', MAX_BYTES))),
    );
  });
  onTestFinished(() => {
    webSocket.terminate();
    http.close();
  });
  return { client, server: await accepted };
}

function tensor(bytes: number, value: number): TensorFrame {
  const room = new Uint8Array(roomBytes(bytes));
  room.fill(value, MAX_FRAME_HEAD_BYTES, MAX_FRAME_HEAD_BYTES + bytes);
  return encodeBefore(room, { value });
}

/** The next `count` messages of one end, each given back once it is copied. */
async function next(socket: FrameSocket, count: number): Promise<Buffer[]> {
  const messages: Buffer[] = [];
  await new Promise<void>((resolve) =>
    socket.onMessage((data, isBinary, free) => {
      assert(isBinary && Buffer.isBuffer(data), 'all is bytes');
      messages.push(Buffer.from(data));
      free?.();
      if (messages.length === count) resolve();
    }),
  );
  return messages;
}

describe.each([
  ['TCP', false],
  ['TLS', true],
])('a frame socket over %s', (_, isSecure) => {
  it('keeps the order of tensors, small messages and pings, both ways', async () => {
    const { client, server } = await connected(isSecure);
    const sizes = [1024 ** 2, 8, 65_536, 400_000, 98_304, 98_299, 70_000, 1024 ** 2];
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const arrived = next(to, 2 * sizes.length);
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
      expect((await arrived).map((each, i) => each.equals(expected[i] ?? Buffer.of()))).toEqual(
        expected.map(() => true),
      );
      while (pongs < sizes.length) await once(from.webSocket, 'pong');
      expect(sent).toBe(sizes.length);
    }
  });

  it('says that a tensor needs its room no longer, whatever happens to it', async () => {
    const { client, server } = await connected(isSecure);
    server.webSocket.on('error', () => undefined);
    const frames = [tensor(1024 ** 2, 1), tensor(1024 ** 2, 2), tensor(8, 3)];
    const sent = frames.map((frame) => new Promise<void>((resolve) => server.sendTensor(frame, resolve)));
    server.webSocket.terminate();
    sent.push(new Promise((resolve) => server.sendTensor(tensor(1024 ** 2, 4), resolve)));
    await Promise.all(sent);
    await once(client.webSocket, 'close');
  });

  it('closes in good order after the tensor that is on its way', async () => {
    const { client, server } = await connected(isSecure);
    const arrived = next(client, 1);
    const closed = once(client.webSocket, 'close');
    server.sendTensor(tensor(1024 ** 2, 1), () => undefined);
    server.webSocket.close(4000, 'enough');
    expect((await arrived)[0]?.length).toBeGreaterThan(1024 ** 2);
    const [code, reason] = await closed;
    expect([code, String(reason)]).toEqual([4000, 'enough']);
  });

  it('goes on with what comes while it closes', async () => {
    const { client, server } = await connected(isSecure);
    const closed = once(server.webSocket, 'close');
    client.sendTensor(tensor(1024 ** 2, 1), () => undefined);
    client.sendTensor(tensor(1024 ** 2, 2), () => undefined);
    await new Promise<void>((resolve) => server.onMessage(() => resolve()));
    server.webSocket.close(4001);
    expect((await closed)[0]).toBe(4001);
  });

  it('leaves what is no message to ws', async () => {
    const { client, server } = await connected(isSecure);
    const failed = once(server.webSocket, 'error');
    client.webSocket.on('error', () => undefined);
    client.sendTensor(tensor(100_000, 1), () => undefined);
    client.socket.write(Buffer.of(0xf2, 0x80, 0, 0, 0, 0));
    client.sendTensor(tensor(100_000, 2), () => undefined);
    expect(String((await failed)[0])).toMatch(/RSV/);
    expect((await once(client.webSocket, 'close'))[0]).toBe(1002);
  });
});
