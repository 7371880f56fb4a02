import { connect, createServer } from 'node:net';
import { listening } from '../../fixtures/listening.ts';

/**
 * Forwards everything to a port on this machine, and calls `then` once, when `bytes` bytes have
 * come from clients: in the middle of an upload that is larger. Ends with its test. Resolves with
 * its own port.
 */
export async function countingProxy(
  port: number,
  bytes: number,
  then: () => void,
): Promise<number> {
  let left = bytes;
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    client.on('data', (part) => {
      const before = left;
      left -= part.length;
      if (before > 0 && left <= 0) then();
    });
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  return await listening(server);
}
