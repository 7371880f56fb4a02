import {
  createServer,
  type IncomingMessage,
  type Server as HttpServer,
  type ServerResponse,
} from 'node:http';
import { createServer as createSecureServer, type Server as HttpsServer } from 'node:https';
import type { Server } from 'node:net';
import * as limits from '../../shared/limits.ts';
import { limitToOneRequest } from './request-gate.ts';

/** A listener's certificate with its chain, and its key, in PEM. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
}

/** The TLS 1.3 ciphers, AES-128 first: Node's default, AES-256, is one seventh slower. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** A listener's TLS settings. */
export function secureSettings({ cert, key }: ServerTls) {
  return { cert, key, minVersion: 'TLSv1.3', ciphers: CIPHERS } as const;
}

export type BoundedServer = HttpServer | HttpsServer;

/**
 * Creates an HTTP server, or an HTTPS server if `tls` is given, with time and size limits. It
 * handles one request of a connection at a time.
 */
export function createBoundedServer(maxConnections: number, tls?: ServerTls): BoundedServer {
  const options = {
    maxHeaderSize: limits.MAX_REQUEST_HEADER_BYTES,
    // Node's default is 30 s.
    connectionsCheckingInterval: limits.REQUEST_CHECK_MILLISECONDS,
  };
  const http =
    tls === undefined
      ? createServer(options)
      : createSecureServer({
          ...options,
          ...secureSettings(tls),
          handshakeTimeout: limits.REQUEST_LIMIT_MILLISECONDS,
        });
  limitToOneRequest(http);
  // Node would otherwise answer these requests by itself, with 100 or 417.
  for (const event of ['checkContinue', 'checkExpectation'])
    http.on(event, (request: IncomingMessage, response: ServerResponse) =>
      http.emit('request', request, response),
    );
  http.headersTimeout = limits.REQUEST_LIMIT_MILLISECONDS;
  http.requestTimeout = limits.REQUEST_LIMIT_MILLISECONDS;
  // Disconnects a client that does not read its response.
  http.timeout = limits.REQUEST_LIMIT_MILLISECONDS;
  http.maxConnections = maxConnections;
  // Any listener for this event disables Node's own handling, and newcomers.ts adds one to learn
  // why a connection ended. This listener does what Node would do.
  http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (isMalformedRequest(error) && socket.writable)
      socket.write(
        error.code === 'HPE_HEADER_OVERFLOW'
          ? 'HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n'
          : 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n',
      );
    else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.writable)
      socket.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n');
    socket.destroy(error);
  });
  return http;
}

/** Whether the error means that a peer sent something other than HTTP. */
export function isMalformedRequest(error: NodeJS.ErrnoException): boolean {
  return error.code?.startsWith('HPE_') === true;
}

/** A server's port; undefined while the server is not listening. */
export function portOf(server: Server): number | undefined {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : undefined;
}
