import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { isIPv6 } from 'node:net';
import type { ServerTls } from '../../coordinator/network/http-server.ts';
import { readNamedNow, type ReadLimit } from '../../shared/disk/regular-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_CHAIN_CERTIFICATES, MAX_PEM_FILE_BYTES } from '../../shared/limits.ts';
import { digestOf } from '../../worker/trust.ts';
import { readSecretFile } from './secret-file.ts';

/** Of a certificate or a key. */
export const pemFileLimit: ReadLimit = { name: 'MAX_PEM_FILE_BYTES', bytes: MAX_PEM_FILE_BYTES };

/** What a listener shows of itself, and what it is known by. */
export interface OwnCertificate extends ServerTls {
  /**
   * SHA-256 of the topmost certificate of the chain, 64 hexadecimal digits: whoever knows it needs
   * no file.
   */
  readonly top: string;
  /** Names and addresses for which it is, in its order. */
  readonly names: readonly string[];
}

/** Of the listener for workers; undefined where none was given. */
export function trainingCertificate(options: {
  readonly sslCertfile: string | undefined;
  readonly sslKeyfile: string | undefined;
}): OwnCertificate | undefined {
  const { sslCertfile: certificate, sslKeyfile: key } = options;
  return readOwnCertificate(
    { certificate, key, flags: ['--ssl-certfile', '--ssl-keyfile'] },
    new Date(),
  );
}

/** Of the live page; undefined where none was given. */
export function pageCertificate(options: {
  readonly httpSslCertfile: string | undefined;
  readonly httpSslKeyfile: string | undefined;
}): OwnCertificate | undefined {
  const { httpSslCertfile: certificate, httpSslKeyfile: key } = options;
  const flags = ['--http-ssl-certfile', '--http-ssl-keyfile'] as const;
  return readOwnCertificate({ certificate, key, flags }, new Date());
}

/** The files of a listener, and the flags that named them. */
export interface TlsFiles {
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly flags: readonly [certificate: string, key: string];
}

/**
 * Reads certificate and key; undefined where neither was given. Throws USAGE where one is missing,
 * no PEM, or the key is another certificate's; TLS where the certificate is not valid now.
 */
export function readOwnCertificate(
  { certificate, key, flags }: TlsFiles,
  now: Date,
): OwnCertificate | undefined {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    const [given, missing] = certificate === undefined ? [flags[1], flags[0]] : flags;
    throw new ClusterError('USAGE', `${given} was given without ${missing}`, {
      fix: 'give both; `mnist-dist certs NAME` makes them',
    });
  }
  const chain = readCertificates(certificate, flags[0]);
  const [own] = chain;
  const top = chain.at(-1);
  if (own === undefined || top === undefined) throw noCertificate(certificate, flags[0]);
  const secret = readSecretFile(key, flags[1], pemFileLimit);
  if (!own.checkPrivateKey(privateKeyOf(secret, key, flags[1]))) {
    throw new ClusterError(
      'USAGE',
      `${key} (${flags[1]}) is not the key of ${certificate} (${flags[0]})`,
      {
        fix: 'give the two that were made together; the certificate of the coordinator stands first in its file',
      },
    );
  }
  checkValidity(own, certificate, now);
  return {
    cert: chain.map(String).join(''),
    key: secret,
    top: digestOf(top),
    names: namesOf(own),
  };
}

/** All certificates in a PEM file. Throws USAGE where there is none. */
export function readCertificates(file: string, flag: string): X509Certificate[] {
  let text: string;
  try {
    text = readNamedNow(file, pemFileLimit).bytes.toString('latin1');
  } catch (error) {
    throw new ClusterError('USAGE', `${file} cannot be read: ${messageOf(error)}`, {
      fix: `check ${flag}`,
    });
  }
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0 || blocks.length > MAX_CHAIN_CERTIFICATES)
    throw noCertificate(file, flag);
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw noCertificate(file, flag, error);
  }
}

function noCertificate(file: string, flag: string, cause?: unknown): ClusterError {
  return new ClusterError('USAGE', `${file} (${flag}) holds no usable certificate`, {
    fix: `Allowed: 1 to ${MAX_CHAIN_CERTIFICATES} certificates in PEM; \`mnist-dist certs NAME\` makes them.`,
    cause,
  });
}

function privateKeyOf(pem: string, file: string, flag: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new ClusterError('USAGE', `${file} (${flag}) holds no private key that can be used`, {
      fix: 'Allowed: a key in PEM without a passphrase; `mnist-dist certs NAME` makes one.',
      cause: error,
    });
  }
}

function checkValidity({ validFrom, validTo }: X509Certificate, file: string, now: Date): void {
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  if (now.getTime() >= from && now.getTime() <= to) return;
  const clock = now.toISOString();
  throw new ClusterError(
    'TLS',
    now.getTime() > to
      ? `the certificate in ${file} has expired at ${new Date(to).toISOString()} (now ${clock})`
      : `the certificate in ${file} is not valid before ${new Date(from).toISOString()} (now ${clock})`,
    { fix: 'if the clock of this machine is right, make a new one: `mnist-dist certs NAME`' },
  );
}

/**
 * Of its subject's alternative names, those by which something is dialled, as they stand in a URL.
 */
function namesOf({ subjectAltName }: X509Certificate): string[] {
  const entries = (subjectAltName ?? '').split(', ');
  const names = entries.map((entry) => /^(DNS|IP Address):([^*]+)$/.exec(entry)?.[2]);
  return names
    .filter((name) => name !== undefined)
    .map((name) => (isIPv6(name) ? shortIPv6(name) : name));
}

/** `0:0:0:0:0:0:0:1` -> `::1` */
function shortIPv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
