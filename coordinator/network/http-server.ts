import { createServer, type Server as HttpServer } from 'node:http';
import { createServer as createSecureServer, type Server as HttpsServer } from 'node:https';
import type { Server } from 'node:net';
import * as limits from '../../shared/limits.ts';

/**
 * What a listener shows of itself, in PEM: its certificate with the chain above it, and the key of
 * the first.
 */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
}

/**
 * Those of TLS 1.3, the fastest first: Node begins with AES-256, whose four more rounds take a
 * seventh of its speed.
 */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

export type BoundedServer = HttpServer | HttpsServer;

/**
 * An HTTP server, with `tls` an HTTPS server, that waits for nobody for long; who it listens to is
 * the caller's to say.
 */
export function createBoundedServer(maxConnections: number, tls?: ServerTls): BoundedServer {
  const options = {
    maxHeaderSize: limits.MAX_REQUEST_HEADER_BYTES,
    // Node looks every 30 s otherwise.
    connectionsCheckingInterval: limits.REQUEST_CHECK_MILLISECONDS,
  };
  const http =
    tls === undefined
      ? createServer(options)
      : createSecureServer({
          ...options,
          ...tls,
          minVersion: 'TLSv1.3',
          ciphers: CIPHERS,
          handshakeTimeout: limits.REQUEST_LIMIT_MILLISECONDS,
        });
  http.headersTimeout = limits.REQUEST_LIMIT_MILLISECONDS;
  http.requestTimeout = limits.REQUEST_LIMIT_MILLISECONDS;
  // Whoever asks for something and takes none of it.
  http.timeout = limits.REQUEST_LIMIT_MILLISECONDS;
  http.maxConnections = maxConnections;
  return http;
}

/** The port that a server has; undefined for one that does not listen. */
export function portOf(server: Server): number | undefined {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : undefined;
}
