import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { isIP } from 'node:net';
import { messageOf } from '../../shared/errors.ts';
import { isLoopback, isWildcard, hostPort } from '../../shared/wire/address.ts';
import { PROTOCOL } from '../../shared/wire/messages.ts';
import type { CoordinatorOptions } from '../options/options.ts';
import { version } from '../package.ts';
import { dialUrl } from '../secrets/join-command.ts';
import type { OwnCertificate } from '../secrets/tls-files.ts';
import type { Log } from '../terminal/log.ts';

/**
 * Announces the run on the networks from which its workers can reach it, and logs how they join. A
 * failure is only logged, since workers can still join by address. Returns a function that stops
 * announcing.
 */
export async function announceRun(
  { host, advertise }: Pick<CoordinatorOptions, 'host' | 'advertise'>,
  certificate: OwnCertificate | undefined,
  { port, directory }: { readonly port: number; readonly directory: string },
  log: Log,
): Promise<() => void> {
  // Without TLS, workers accept only the address that sent the announcement.
  const isOneAddress = isLoopback(host) || (isIP(host) !== 0 && !isWildcard(host));
  const urlIn = (address: string): string =>
    certificate === undefined
      ? `ws://${hostPort(isOneAddress ? host : address, port)}`
      : dialUrl({ host, port, advertise, certificate });
  const id = randomBytes(8).toString('hex');
  try {
    const { startAnnouncer } = await import('../../coordinator/network/announcer.ts');
    const announcer = await startAnnouncer(host, ({ address }) => ({
      id,
      coordinator: urlIn(address),
      run: basename(directory),
      protocol: PROTOCOL,
      version,
      ca: certificate?.top,
    }));
    const { addresses } = announcer;
    if (addresses.length === 0) log.warn({}, notAnnounced('this machine has no IPv4 network'));
    else
      log.info(
        { addresses },
        `announcing this run on ${addresses.join(', ')}; workers with the token find it with: ` +
          `mnist-dist worker ${flagsFor(host, certificate)}`.trimEnd(),
      );
    return () => announcer.close();
  } catch (error) {
    log.warn({ err: error }, notAnnounced(messageOf(error)));
    return () => undefined;
  }
}

function notAnnounced(why: string): string {
  return `this run is not announced: ${why}; workers need its address (--coordinator, --join)`;
}

/** The flags, apart from the token, with which a worker finds the run. */
function flagsFor(host: string, certificate: OwnCertificate | undefined): string {
  if (certificate !== undefined) return `--ssl-ca-sha256 ${certificate.top}`;
  return isLoopback(host) ? '' : '--insecure';
}
