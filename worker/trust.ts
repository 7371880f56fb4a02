import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { ClusterError } from '../shared/errors.ts';
import { MAX_CHAIN_CERTIFICATES, REQUEST_LIMIT_MILLISECONDS } from '../shared/limits.ts';

/** Which certificates of a coordinator are believed. */
export type Trust =
  /** Those that this machine believes. */
  | { readonly kind: 'system' }
  /** Those below one of these, in PEM. */
  | { readonly kind: 'certificates'; readonly pem: string }
  /**
   * Those below the one with this SHA-256, 64 hexadecimal digits; the coordinator itself shows it.
   */
  | { readonly kind: 'digest'; readonly sha256: string };

/**
 * What a connection over TLS is made with; a name that the certificate does not have is refused in
 * any case.
 */
export interface SecureOptions {
  readonly ca?: string;
  /** Whoever is named may be an intermediate, or the coordinator's own certificate. */
  readonly allowPartialTrustChain: true;
  readonly minVersion: 'TLSv1.3';
}

const common = { allowPartialTrustChain: true, minVersion: 'TLSv1.3' } as const;

/** Turns what is trusted into what connections are made with. */
export class Anchor {
  readonly #trust: Trust;
  #found: string | undefined;

  constructor(trust: Trust) {
    this.#trust = trust;
  }

  /**
   * For a digest, asks the coordinator for its chain once, and tells it nothing. Rejects with TLS
   * where that chain has no such certificate, or as the system does where nobody answers.
   */
  async options(coordinator: URL, signal: AbortSignal): Promise<SecureOptions> {
    const trust = this.#trust;
    switch (trust.kind) {
      case 'system':
        return common;
      case 'certificates':
        return { ...common, ca: trust.pem };
      case 'digest':
        this.#found ??= await findCertificate(coordinator, trust.sha256, signal);
        return { ...common, ca: this.#found };
    }
  }
}

/**
 * The certificate with this digest among those that the coordinator shows, in PEM. Nothing is
 * believed and nothing sent.
 */
async function findCertificate(
  coordinator: URL,
  sha256: string,
  signal: AbortSignal,
): Promise<string> {
  const host = coordinator.hostname.replace(/^\[(.*)\]$/, '$1');
  const socket = connect({
    host,
    port: Number(coordinator.port === '' ? 443 : coordinator.port),
    // This connection only reads the chain; those that carry the token check it.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ...(isIP(host) === 0 ? { servername: host } : {}),
  });
  const limit = AbortSignal.timeout(REQUEST_LIMIT_MILLISECONDS);
  try {
    await once(socket, 'secureConnect', { signal: AbortSignal.any([signal, limit]) }).catch(
      (error: unknown) => {
        throw limit.aborted ? limit.reason : error;
      },
    );
    const chain = chainOf(socket);
    const found = chain.find((certificate) => digestOf(certificate) === sha256);
    if (found !== undefined) return found.toString();
    throw new ClusterError(
      'TLS',
      `the coordinator at ${coordinator.href} shows no certificate that the join string names, but ${chain.map((each) => `"${each.subject.replaceAll('\n', ', ')}"`).join(', ')}`,
      {
        fix: 'copy the join string anew from the coordinator; if it is the same, another process answers there',
      },
    );
  } finally {
    socket.destroy();
  }
}

function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // One that signs itself is its own issuer.
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
