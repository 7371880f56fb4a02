import { isIP } from 'node:net';

/**
 * Whether a listener on `host` is reachable only from this machine. Names other than localhost are
 * not resolved.
 */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (address === 'localhost' || address === '::1') return true;
  return isIP(address) === 4 && address.startsWith('127.');
}

/** Whether a listener on `host` listens on all addresses of this machine. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/**
 * HOST:PORT in a URL that a process on this machine can use. A listener on all addresses is reached
 * at the loopback address.
 */
export function reachableAt(host: string, port: number): string {
  const address = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return hostPort(address, port);
}

/** HOST:PORT in a URL. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
