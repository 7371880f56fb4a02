import { readFileSync } from 'node:fs';

const LISTENING = '0A';

/**
 * Every socket that accepts traffic from outside, as the kernel lists them in the network namespace
 * of this process: `127.0.0.1:29400`, `[::]:29400`. UDP has no listening state, so all UDP sockets
 * count.
 */
export function listenersOf(pid: number): string[] {
  const table = (name: string) =>
    readFileSync(`/proc/${pid}/net/${name}`, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/));
  return [
    ...['tcp', 'tcp6'].flatMap(table).filter(([, , , state]) => state === LISTENING),
    ...['udp', 'udp6'].flatMap(table),
  ]
    .map(([, local = '']) => shown(local))
    .toSorted();
}

/** `0100007F:72D8` is 127.0.0.1:29400: four-byte words in this machine's byte order. */
function shown(local: string): string {
  const [address = '', port = ''] = local.split(':');
  const bytes = Buffer.from(address, 'hex').swap32();
  const text =
    bytes.length === 4
      ? bytes.join('.')
      : `[${bytes.toString('hex').replaceAll(/(.{4})(?=.)/g, '$1:')}]`;
  return `${text}:${parseInt(port, 16)}`;
}
