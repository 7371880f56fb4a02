import { Worker } from 'node:worker_threads';
import { bindError, trainingFlags } from '../../coordinator/network/bind-port.ts';
import { LISTEN_BACKLOG } from '../../shared/limits.ts';

/**
 * A port on which this process listens until it ends. Child processes accept the connections; even
 * if they crash, the port stays reserved.
 */
export interface ReservedPort {
  readonly port: number;
  /** Descriptor of the socket, for a child process to inherit. */
  readonly descriptor: number;
}

/** The message from the thread that opened the socket. */
export type ReservationReply =
  | ({ readonly kind: 'reserved' } & ReservedPort)
  | { readonly kind: 'failed'; readonly code: string | undefined; readonly message: string };

/**
 * Listens at this address; port 0 takes any free port. The socket belongs to a thread that then
 * blocks, since Node cannot listen without accepting connections. The kernel queues connections
 * until a child process accepts them, and no other process can bind the port. Rejects with ADDRESS.
 */
export async function reservePort(host: string, port: number): Promise<ReservedPort> {
  const reply = await reserveInThread(host, port);
  if (reply.kind === 'reserved') return reply;
  const error = Object.assign(new Error(reply.message), { code: reply.code });
  throw bindError(error, host, port, trainingFlags);
}

async function reserveInThread(host: string, port: number): Promise<ReservationReply> {
  const thread = new Worker(new URL('reserved-port-thread.js', import.meta.url), {
    workerData: { host, port, backlog: LISTEN_BACKLOG },
  });
  thread.unref();
  return await new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
  });
}
