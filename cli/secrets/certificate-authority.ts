import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate and its private key, both in PEM. */
export interface CertificatePair {
  readonly certificate: string;
  readonly key: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const HOUR_MILLISECONDS = 3_600_000;
/** Certificates are valid from a day before their creation, since machines' clocks differ. */
const BACKDATED_MILLISECONDS = 24 * HOUR_MILLISECONDS;

/** Makes a certificate authority that can sign server certificates but not further authorities. */
export async function makeAuthority(
  name: string,
  days: number,
  now: Date,
): Promise<CertificatePair> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: algorithm,
    serialNumber: serialNumber(),
    ...validity(days, now),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyText(keys.privateKey) };
}

/**
 * Makes a server certificate for these DNS names and IP addresses, signed by the authority. It is
 * valid for `days`, but not longer than the authority. Rejects if `authority` is not a certificate
 * with its key.
 */
export async function makeCertificate(
  authority: CertificatePair,
  names: readonly [string, ...string[]],
  days: number,
  now: Date,
): Promise<CertificatePair> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey(
    'pkcs8',
    x509.PemConverter.decodeFirst(authority.key),
    algorithm,
    false,
    ['sign'],
  );
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [names[0].slice(0, 64)] }],
    issuer: issuer.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    serialNumber: serialNumber(),
    ...validity(days, now, issuer.notAfter),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((name) => ({ type: isIP(name) === 0 ? 'dns' : 'ip', value: name })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await keyText(keys.privateKey) };
}

async function keyText(key: webcrypto.CryptoKey): Promise<string> {
  const bytes = await webcrypto.subtle.exportKey('pkcs8', key);
  return `${x509.PemConverter.encode(bytes, 'PRIVATE KEY')}\n`;
}

function validity(days: number, now: Date, last?: Date): { notBefore: Date; notAfter: Date } {
  const from = now.getTime() - BACKDATED_MILLISECONDS;
  const to = now.getTime() + days * 24 * HOUR_MILLISECONDS;
  return {
    notBefore: new Date(from),
    notAfter: new Date(Math.min(to, last?.getTime() ?? Infinity)),
  };
}

/**
 * A random serial number, 127 bits long. The first of the 128 bits is 0, since the number must be
 * positive.
 */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
