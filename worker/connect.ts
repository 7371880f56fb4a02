import type { IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { ClusterError } from '../shared/errors.ts';
import * as limits from '../shared/limits.ts';
import { FrameSocket } from '../shared/wire/frame-socket.ts';
import { MAX_FRAME_HEAD_BYTES } from '../shared/wire/frame.ts';
import { workerPath } from '../shared/wire/proof.ts';
import type { RunDescription } from '../shared/wire/run-description.ts';
import { connectionError } from './connection-errors.ts';
import { requestOf, type DialOptions } from './dial.ts';
import { prepareRequest } from './proven-request.ts';

/**
 * Opens a WebSocket at /worker; resolves once it is open. Frames are neither compressed nor
 * fragmented, and their mask consists of zeros.
 */
export async function connect(options: DialOptions, run: RunDescription): Promise<FrameSocket> {
  const { coordinator } = options;
  const maxPayload = run.frame_bytes + MAX_FRAME_HEAD_BYTES;
  const path = workerPath(run.run);
  const limit = AbortSignal.timeout(options.requestLimitMilliseconds);
  const proven = await prepareRequest(await requestOf(options, path, limit));
  // A variable instead of a literal argument, because ws's types lack some of these options.
  const settings = {
    agent: proven.agent,
    headers: proven.headers,
    perMessageDeflate: false,
    maxPayload,
    maxFragments: 1,
    maxBufferedChunks: Math.ceil(maxPayload / 512),
    closeTimeout: limits.CLOSE_LIMIT_MILLISECONDS,
    handshakeTimeout: options.requestLimitMilliseconds,
    // Masking protects proxies from scripts in browsers, which is irrelevant here. With a mask of
    // zeros, ws sends without copying.
    generateMask: (mask: Buffer) => void mask.fill(0),
  };
  return await new Promise((resolve, reject) => {
    const webSocket = new WebSocket(new URL(path, coordinator), settings);
    const check = (response: IncomingMessage): boolean => {
      try {
        proven.check(response);
        return true;
      } catch (error) {
        reject(connectionError(coordinator, error));
        webSocket.terminate();
        return false;
      }
    };
    webSocket.once('unexpected-response', (request, response) => {
      if (!check(response)) return void request.destroy();
      reject(
        new ClusterError(
          'PROTOCOL',
          `${coordinator.href} did not upgrade the connection; is this a coordinator?`,
        ),
      );
      webSocket.terminate();
    });
    webSocket.once('upgrade', (response) => {
      if (!check(response)) return;
      const { socket } = response;
      webSocket.once('open', () =>
        resolve(new FrameSocket(webSocket, socket, 'client', maxPayload)),
      );
    });
    webSocket.on('error', (error) => reject(connectionError(coordinator, error)));
  });
}
