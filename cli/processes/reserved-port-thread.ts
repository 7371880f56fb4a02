import { createServer, type ListenOptions } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { portOf } from '../../coordinator/network/http-server.ts';
import type { Answer } from './reserved-port.ts';

const withHandle = z.object({ _handle: z.object({ fd: z.int().min(3) }) });

// What reserved-port.ts, the only one that starts this thread, has put there.
const server = createServer().listen(workerData as ListenOptions);
const answer = (what: Answer): void => parentPort?.postMessage(what);
server.once('error', (error: NodeJS.ErrnoException) =>
  answer({ kind: 'refused', code: error.code, message: error.message }),
);
server.once('listening', () => {
  answer({
    kind: 'reserved',
    port: portOf(server) ?? 0,
    descriptor: withHandle.parse(server)._handle.fd,
  });
  // Connections are for the process that the socket is handed to: this thread never takes one.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
