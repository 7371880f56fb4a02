import { Worker } from 'node:worker_threads';
import { bindError } from '../../coordinator/network/server.ts';
import { LISTEN_BACKLOG } from '../../shared/limits.ts';

/**
 * A port on which this process listens until it ends, whatever becomes of the processes that take
 * its connections.
 */
export interface ReservedPort {
  readonly port: number;
  /** The socket, for a child process to inherit. */
  readonly descriptor: number;
}

/** What the thread that holds it says. */
export type Answer =
  | ({ readonly kind: 'reserved' } & ReservedPort)
  | { readonly kind: 'refused'; readonly code: string | undefined; readonly message: string };

/**
 * Listens at this address, at port 0 on one that is free. A thread that has stopped holds the
 * socket: Node has no way to listen without taking connections. The kernel keeps them until a child
 * takes them, and no other process can bind the port in between. Rejects with ADDRESS.
 */
export async function reservePort(host: string, port: number): Promise<ReservedPort> {
  const answer = await ask(host, port);
  if (answer.kind === 'reserved') return answer;
  throw bindError(Object.assign(new Error(answer.message), { code: answer.code }), host, port);
}

async function ask(host: string, port: number): Promise<Answer> {
  const thread = new Worker(new URL('reserved-port-thread.js', import.meta.url), {
    workerData: { host, port, backlog: LISTEN_BACKLOG },
  });
  thread.unref();
  return await new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('error', reject);
  });
}
