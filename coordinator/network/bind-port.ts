import { portOf, type BoundedServer } from './http-server.ts';
import { hostPort } from '../../shared/wire/address.ts';
import { ClusterError } from '../../shared/errors.ts';
import { LISTEN_BACKLOG, MAX_PORT_TRIES } from '../../shared/limits.ts';

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Try the next ports, one after the other, where this one is in use. */
  readonly isPortFree: boolean;
  /** A port to skip: another listener will take it. */
  readonly exceptPort?: number | undefined;
}

/** Listens. Resolves with the port; rejects with ADDRESS. */
export async function bind(
  http: BoundedServer,
  { host, port, isPortFree, exceptPort }: ListenAddress,
): Promise<number> {
  const last = isPortFree && port !== 0 ? Math.min(port + MAX_PORT_TRIES, 65_535) : port;
  for (let candidate = port; ; candidate++) {
    if (isPortFree && candidate !== 0 && candidate === exceptPort) candidate++;
    const error = await tryPort(http, host, candidate);
    if (error === undefined) return portOf(http) ?? candidate;
    if (error.code !== 'EADDRINUSE' || candidate >= last) throw bindError(error, host, candidate);
  }
}

function tryPort(
  http: BoundedServer,
  host: string,
  port: number,
): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    http.once('error', resolve);
    http.listen({ port, host, backlog: LISTEN_BACKLOG }, () => {
      http.off('error', resolve);
      resolve(undefined);
    });
  });
}

function bindError(error: NodeJS.ErrnoException, host: string, port: number): ClusterError {
  const message =
    error.code === 'EADDRINUSE'
      ? `port ${port} on ${host} is in use (--http-port)`
      : `cannot listen on ${hostPort(host, port)}: ${error.message} (--http-host)`;
  return new ClusterError('ADDRESS', message, {
    fix: 'choose another --http-port, 0 for any free one, or --no-http for none',
    cause: error,
  });
}
