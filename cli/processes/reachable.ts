import { connect } from 'node:net';
import { ClusterError } from '../../shared/errors.ts';
import { OWN_DIAL_MILLISECONDS } from '../../shared/limits.ts';
import { systemCode } from '../../shared/disk/system-error.ts';

/** The errors of a machine that has no route to its own address. */
const noRoute: ReadonlySet<string> = new Set(['EADDRNOTAVAIL', 'EHOSTUNREACH', 'ENETUNREACH']);

/**
 * Dials the address at which this command's own workers will reach its coordinator. Rejects with
 * ADDRESS if this machine has no route there, for instance in a new network namespace: the workers
 * would dial in vain for as long as this command runs. Ignores all other errors, which the workers
 * report.
 */
export async function requireReachable(url: string): Promise<void> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const code = await dialError(host, Number(port));
  if (code === undefined || !noRoute.has(code)) return;
  throw new ClusterError(
    'ADDRESS',
    `this machine cannot connect to its own address ${hostname}:${port} (${code})`,
    {
      fix:
        'if its loopback interface is down, as in a new network namespace, run: ' +
        'ip link set lo up; otherwise check --host',
    },
  );
}

/** The code of the error with which a connection fails; undefined if it succeeds or takes long. */
async function dialError(host: string, port: number): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const socket = connect({ host, port, timeout: OWN_DIAL_MILLISECONDS });
    const end = (error?: unknown): void => {
      socket.destroy();
      resolve(codeOf(error));
    };
    socket.once('error', end).once('connect', () => end());
    socket.once('timeout', () => end());
  });
}

/** If several addresses were tried, the code for the first address. */
function codeOf(error: unknown): string | undefined {
  return systemCode(error instanceof AggregateError ? error.errors[0] : error);
}
