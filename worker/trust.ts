import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { ClusterError } from '../shared/errors.ts';
import { MAX_CHAIN_CERTIFICATES } from '../shared/limits.ts';
import type { ConnectionProgress } from './connection-progress.ts';

/** Which certificates to trust. */
export type Trust =
  /** The certificates that this machine trusts. */
  | { readonly kind: 'system' }
  /** Certificates issued under one of these certificates (PEM). */
  | { readonly kind: 'certificates'; readonly pem: string }
  /**
   * Certificates issued under the certificate with this SHA-256 (64 hexadecimal digits), which the
   * coordinator must present.
   */
  | { readonly kind: 'digest'; readonly sha256: string };

/** Options for a TLS connection. The name in the certificate is always checked. */
export interface SecureOptions {
  readonly ca?: string;
  /** The trusted certificate may be an intermediate certificate or the coordinator's own. */
  readonly allowPartialTrustChain: true;
  readonly minVersion: 'TLSv1.3';
}

const common = { allowPartialTrustChain: true, minVersion: 'TLSv1.3' } as const;

/** Converts a Trust into connection options. */
export class Anchor {
  readonly #trust: Trust;
  #found: string | undefined;

  constructor(trust: Trust) {
    this.#trust = trust;
  }

  /**
   * For a digest, connects to the coordinator once to read its certificates, and sends no request.
   * Rejects with TLS if none has the digest, or with a system error.
   */
  async options(
    coordinator: URL,
    progress: ConnectionProgress,
    signal: AbortSignal,
  ): Promise<SecureOptions> {
    const trust = this.#trust;
    switch (trust.kind) {
      case 'system':
        return common;
      case 'certificates':
        return { ...common, ca: trust.pem };
      case 'digest':
        this.#found ??= await findCertificate(coordinator, trust.sha256, progress, signal);
        return { ...common, ca: this.#found };
    }
  }
}

/**
 * Returns, in PEM, the certificate with this digest among those that the coordinator presents.
 * Trusts none of them and sends no request.
 */
async function findCertificate(
  coordinator: URL,
  sha256: string,
  progress: ConnectionProgress,
  signal: AbortSignal,
): Promise<string> {
  const host = coordinator.hostname.replace(/^\[(.*)\]$/, '$1');
  const socket = connect({
    host,
    port: Number(coordinator.port === '' ? 443 : coordinator.port),
    // This connection only reads the certificates; the connections with proofs check them.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ...(isIP(host) === 0 ? { servername: host } : {}),
  });
  progress.watch(socket);
  try {
    await once(socket, 'secureConnect', { signal });
    const chain = chainOf(socket);
    const found = chain.find((certificate) => digestOf(certificate) === sha256);
    if (found !== undefined) return found.toString();
    throw new ClusterError(
      'TLS',
      `the coordinator at ${coordinator.href} presents ` +
        `${chain.map(({ subject }) => `"${subject.replaceAll('\n', ', ')}"`).join(', ')}, ` +
        'not the certificate in the join string or in --ssl-ca-sha256',
      {
        fix:
          'copy the join string or the SHA-256 again; if it has not changed, check which process ' +
          'listens at this address',
      },
    );
  } finally {
    socket.destroy();
  }
}

function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // A self-signed certificate is its own issuer.
  const seen = new Set<string>();
  while (
    next?.raw !== undefined &&
    !seen.has(next.fingerprint256) &&
    chain.length < MAX_CHAIN_CERTIFICATES
  ) {
    seen.add(next.fingerprint256);
    chain.push(new X509Certificate(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}

/** SHA-256 of a certificate, 64 hexadecimal digits. */
export function digestOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(':', '').toLowerCase();
}
