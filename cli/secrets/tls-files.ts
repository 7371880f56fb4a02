import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { createSecureContext } from 'node:tls';
import { secureSettings, type ServerTls } from '../../coordinator/network/http-server.ts';
import { readNamedNow, type ReadLimit } from '../../shared/disk/regular-file.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { MAX_CHAIN_CERTIFICATES, MAX_PEM_FILE_BYTES } from '../../shared/limits.ts';
import { digestOf } from '../../worker/trust.ts';
import { readSecretFile } from './secret-file.ts';

const NEW_CERTIFICATE = 'create a new certificate: `mnist-dist certs NAME`';
const NEW_AUTHORITY =
  'create a new authority and certificate: `mnist-dist certs NAME --out DIR`; all workers then ' +
  'need its ca.crt or a new join string';

/** Size limit for a certificate file or a key file. */
export const pemFileLimit: ReadLimit = { name: 'MAX_PEM_FILE_BYTES', bytes: MAX_PEM_FILE_BYTES };

/** A listener's certificate chain and key, with the properties that workers check. */
export interface OwnCertificate extends ServerTls {
  /**
   * SHA-256 of the topmost certificate in the chain, 64 hexadecimal digits. A worker that knows
   * this digest does not need a certificate file.
   */
  readonly top: string;
  /** The names and addresses in the certificate, in the certificate's order. */
  readonly names: readonly string[];
}

/** The training listener's certificate; undefined if none was given. */
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

/** A listener's certificate file and key file, and the flags that set them. */
export interface TlsFiles {
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly flags: readonly [certificate: string, key: string];
}

/**
 * Reads the certificate and the key; undefined if neither was given. Throws USAGE if one of the
 * files is missing or is not PEM, if the key belongs to another certificate, or if OpenSSL does not
 * accept the certificate. Throws TLS if a certificate in the chain has expired or is not valid yet.
 */
export function readOwnCertificate(
  { certificate, key, flags }: TlsFiles,
  now: Date,
): OwnCertificate | undefined {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined || key === undefined) {
    const [given, missing] = certificate === undefined ? [flags[1], flags[0]] : flags;
    throw new ClusterError('USAGE', `${given} was given without ${missing}`, {
      fix: 'set both options; `mnist-dist certs NAME` creates the files',
    });
  }
  const chain = readCertificates(certificate, flags[0]);
  const [own] = chain;
  const top = chain.at(-1);
  if (own === undefined || top === undefined) throw noCertificate(certificate, flags[0]);
  const secret = readSecretFile(key, flags[1], pemFileLimit);
  const privateKey = privateKeyOf(secret, key, flags[1]);
  if (!own.checkPrivateKey(privateKey)) {
    throw new ClusterError(
      'USAGE',
      `${key} (${flags[1]}) is not the private key for ${certificate} (${flags[0]})`,
      {
        fix:
          'use the pair that was created together; ' +
          "the certificate file must begin with the coordinator's own certificate",
      },
    );
  }
  for (const each of chain)
    checkValidity(each, certificate, now, each.ca ? NEW_AUTHORITY : NEW_CERTIFICATE);
  const tls = { cert: chain.map(String).join(''), key: secret };
  checkUsable(tls, privateKey, certificate, flags[0]);
  return {
    ...tls,
    top: digestOf(top),
    names: namesOf(own),
  };
}

/** Reads all certificates in a PEM file. Throws USAGE if it does not contain any. */
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
  return new ClusterError('USAGE', `${file} (${flag}) contains no usable certificate`, {
    fix:
      `allowed: 1 to ${MAX_CHAIN_CERTIFICATES} certificates in PEM; ` +
      '`mnist-dist certs NAME` creates them',
    cause,
  });
}

function privateKeyOf(pem: string, file: string, flag: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new ClusterError('USAGE', `${file} (${flag}) contains no usable private key`, {
      fix: 'allowed: a key in PEM without a passphrase; `mnist-dist certs NAME` creates one',
      cause: error,
    });
  }
}

/** The types of keys, and the curves, with which a server can sign a TLS 1.3 handshake. */
const KEY_TYPES = new Set(['rsa', 'rsa-pss', 'ed25519', 'ed448']);
const CURVES = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** Throws USAGE if no TLS 1.3 handshake can succeed with the certificate. */
function checkUsable(tls: ServerTls, key: KeyObject, file: string, flag: string): void {
  const { asymmetricKeyType: type = '', asymmetricKeyDetails: details } = key;
  const curve = details?.namedCurve ?? '';
  if (type === 'ec' ? !CURVES.has(curve) : !KEY_TYPES.has(type))
    throw unusable(file, flag, `TLS 1.3 has no ${type === 'ec' ? curve : type.toUpperCase()} keys`);
  try {
    createSecureContext(secureSettings(tls));
  } catch (error) {
    const reason = messageOf(error).replace(/^.*::/, '');
    throw unusable(file, flag, `OpenSSL does not accept it: ${reason}`, error);
  }
}

function unusable(file: string, flag: string, reason: string, cause?: unknown): ClusterError {
  return new ClusterError(
    'USAGE',
    `the certificate in ${file} (${flag}) cannot be used: ${reason}`,
    {
      fix:
        'use a certificate with an RSA key of at least 2048 bits or an EC key (P-256) that is ' +
        'signed with SHA-256; `mnist-dist certs NAME` creates one',
      cause,
    },
  );
}

/** Throws TLS if the certificate in `file` has expired or is not valid yet. */
export function checkValidity(
  { subject, validFrom, validTo, ca }: X509Certificate,
  file: string,
  now: Date,
  renew: string,
): void {
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  if (now.getTime() >= from && now.getTime() <= to) return;
  const clock = now.toISOString();
  const what = ca ? `authority "${subject.replaceAll('\n', ', ')}"` : 'certificate';
  throw new ClusterError(
    'TLS',
    now.getTime() > to
      ? `the ${what} in ${file} expired at ${new Date(to).toISOString()} (now ${clock})`
      : `the ${what} in ${file} is not valid before ${new Date(from).toISOString()} (now ${clock})`,
    { fix: `if this machine's clock is right, ${renew}` },
  );
}

/** A certificate's DNS names and addresses, except wildcards, as they are written in a URL. */
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
