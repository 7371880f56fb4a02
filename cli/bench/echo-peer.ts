import { randomBytes } from 'node:crypto';
import { connect } from 'node:tls';

/**
 * Dials an Echo and answers each frame of so many bytes by as many; resolves when the connection
 * closes.
 */
export async function echo(task: { port: number; ca: string; bytes: number }): Promise<number> {
  const socket = connect({
    port: task.port,
    host: '127.0.0.1',
    ca: task.ca,
    minVersion: 'TLSv1.3',
  }).setNoDelay();
  const bytes = randomBytes(task.bytes);
  let missing = task.bytes;
  socket.on('data', ({ length }: Buffer) => {
    missing -= length;
    if (missing > 0) return;
    missing = task.bytes;
    socket.write(bytes);
  });
  return await new Promise((resolve) => {
    socket.once('close', () => resolve(0));
    socket.once('error', () => resolve(1));
  });
}
