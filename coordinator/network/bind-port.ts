import type { ListenOptions } from 'node:net';
import { portOf, type BoundedServer } from './http-server.ts';
import { hostPort } from '../../shared/wire/address.ts';
import { ClusterError } from '../../shared/errors.ts';
import { LISTEN_BACKLOG, MAX_PORT_TRIES } from '../../shared/limits.ts';

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Whether to try the following ports, one after the other, if this one is in use. */
  readonly isPortFree: boolean;
  /** A port to skip: another listener will take it. */
  readonly exceptPort?: number | undefined;
  /** A listening socket that this process inherited, to use instead of the address. */
  readonly descriptor?: number | undefined;
}

/** The names of the options that set an address, for error messages. */
export interface AddressFlags {
  readonly host: string;
  readonly port: string;
  /** The option that turns the listener off, if any. */
  readonly off?: string;
}

export const trainingFlags: AddressFlags = { host: '--host', port: '--port' };
export const pageFlags: AddressFlags = {
  host: '--http-host',
  port: '--http-port',
  off: '--no-http',
};

/** Listens. Resolves with the port; rejects with ADDRESS. */
export async function bind(
  http: BoundedServer,
  { host, port, isPortFree, exceptPort, descriptor }: ListenAddress,
  flags: AddressFlags,
): Promise<number> {
  const last = isPortFree && port !== 0 ? Math.min(port + MAX_PORT_TRIES, 65_535) : port;
  for (let candidate = port; ; candidate++) {
    if (isPortFree && candidate !== 0 && candidate === exceptPort) candidate++;
    const where = descriptor === undefined ? { port: candidate, host } : { fd: descriptor };
    const error = await tryListen(http, where);
    if (error === undefined) return portOf(http) ?? candidate;
    if (error.code !== 'EADDRINUSE' || candidate >= last)
      throw bindError(error, host, candidate, flags);
  }
}

function tryListen(
  http: BoundedServer,
  where: ListenOptions | { readonly fd: number },
): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    http.once('error', resolve);
    // The backlog is a separate argument, since Node ignores the option for a descriptor.
    http.listen(where, LISTEN_BACKLOG, () => {
      http.off('error', resolve);
      resolve(undefined);
    });
  });
}

/** The error for a server that cannot listen. */
export function bindError(
  error: NodeJS.ErrnoException,
  host: string,
  port: number,
  flags: AddressFlags,
): ClusterError {
  if (error.code === 'EADDRINUSE') {
    const anyPort =
      flags.off === undefined
        ? ', or 0 for any free port'
        : `, 0 for any free port, or ${flags.off}`;
    return new ClusterError('ADDRESS', `port ${port} on ${host} is in use (${flags.port})`, {
      fix: `choose another ${flags.port}${anyPort}`,
      cause: error,
    });
  }
  const names = `${flags.host}, ${flags.port}`;
  return new ClusterError(
    'ADDRESS',
    `cannot listen on ${hostPort(host, port)}: ${error.message} (${names})`,
    { fix: `choose another ${flags.host} or ${flags.port}`, cause: error },
  );
}
