import { connect, createServer } from 'node:net';
import { listening } from '../../fixtures/listening.ts';

/**
 * Starts a proxy that forwards everything to a port on this machine; resolves with its own port. It
 * calls `then` once, when clients have sent `bytes` bytes, which is in the middle of a larger
 * upload. The proxy is closed when its test ends.
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
