import { once } from 'node:events';
import { createServer as createPlain } from 'node:http';
import { createServer as createSecure } from 'node:https';
import { onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { portOf } from '../../coordinator/network/http-server.ts';
import { FrameSocket } from '../../shared/wire/frame-socket.ts';
import { roomBytes } from '../../shared/wire/frame.ts';
import type { TestAuthority } from '../worker/certificates.ts';

export const MAX_BYTES = roomBytes(1024 ** 2);

/** Both ends of a connection; over TLS, where there is somebody to sign the server's certificate. */
export async function connected(
  authority?: TestAuthority,
): Promise<{ client: FrameSocket; server: FrameSocket }> {
  const http = authority === undefined ? createPlain() : createSecure(await authority.server());
  // Whoever would wait for it fails.
  const closeTimeout = 600_000;
  const settings = { perMessageDeflate: false, maxPayload: MAX_BYTES, maxFragments: 1, closeTimeout };
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
  const webSocket = new WebSocket(
    `${authority === undefined ? 'ws' : 'wss'}://127.0.0.1:${portOf(http) ?? 0}`,
    {
      ...settings,
      ...(authority === undefined ? {} : { ca: authority.pair.certificate }),
      generateMask: (mask) => void mask.fill(0),
    },
  );
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
