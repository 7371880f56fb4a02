import { createServer, type ListenOptions } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { z } from 'zod';
import { portOf } from '../../coordinator/network/http-server.ts';
import { lookUpInChildren } from './name-lookups.ts';
import type { ReservationReply } from './reserved-port.ts';

const withHandle = z.object({ _handle: z.object({ fd: z.int().min(3) }) });

// --host may be a name.
lookUpInChildren();
// reserved-port.ts is the only caller and passes these options.
const server = createServer().listen(workerData as ListenOptions);
const reply = (message: ReservationReply): void => parentPort?.postMessage(message);
server.once('error', (error: NodeJS.ErrnoException) =>
  reply({ kind: 'failed', code: error.code, message: error.message }),
);
server.once('listening', () => {
  reply({
    kind: 'reserved',
    port: portOf(server) ?? 0,
    descriptor: withHandle.parse(server)._handle.fd,
  });
  // The child process accepts the connections; this thread blocks here and never accepts one.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
