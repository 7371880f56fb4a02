import { createServer, type Server as HttpServer } from 'node:http';
import type { Server } from 'node:net';
import * as limits from '../shared/limits.ts';

/** An HTTP server that waits for nobody for long; who it listens to is the caller's to say. */
export function createBoundedServer(maxConnections: number): HttpServer {
  const http = createServer({
    maxHeaderSize: limits.MAX_REQUEST_HEADER_BYTES,
    // Node looks every 30 s otherwise.
    connectionsCheckingInterval: limits.REQUEST_CHECK_MILLISECONDS,
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
