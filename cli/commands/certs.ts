import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LockError, withLock } from '../../bin/lock.mjs';
import { systemCode } from '../../shared/disk/system-error.ts';
import {
  diskError,
  makeDirectories,
  withOutFolder,
  writeWhole,
} from '../../shared/disk/whole-file.ts';
import { isWildcard } from '../../shared/wire/address.ts';
import { ClusterError } from '../../shared/errors.ts';
import { shellPath } from '../../shared/shell-word.ts';
import type { CertificatePair } from '../secrets/certificate-authority.ts';
import { host } from '../options/endpoint.ts';
import { stderr, stdout } from '../terminal/output.ts';
import type { CertsOptions, CommandLine } from '../options/options.ts';
import { hideFromGit, readSecretFile, writeSecretFile } from '../secrets/secret-file.ts';
import { checkValidity, pemFileLimit, readCertificates } from '../secrets/tls-files.ts';

const NEW_AUTHORITY =
  'create a new authority in another folder (--out); all workers then need its ca.crt';

const DAY_MILLISECONDS = 86_400_000;
/** Names by which workers on the coordinator's own machine reach it. */
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/**
 * `mnist-dist certs NAME...`: creates a private certificate authority and uses it to sign a
 * certificate for a coordinator with these names and addresses. Reuses an existing authority, so
 * that workers that trust it do not need a new file.
 */
export async function certs(
  { out = 'certs', days }: CertsOptions,
  { operands }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  const names = namesOf(operands);
  await withOutFolder(async () => {
    const isNew = await makeDirectories(out);
    // Commands that run at the same time must not sign with different authorities.
    await locked(out, () => create({ folder: out, isNew, names, days }));
  });
  return 0;
}

async function locked(folder: string, action: () => Promise<void>): Promise<void> {
  const lock = join(folder, '.lock');
  try {
    await withLock(lock, action, (line) => stderr.write(line));
  } catch (error) {
    if (error instanceof LockError)
      throw new ClusterError('DISK', error.message, {
        fix: error.isForeign
          ? 'move it away, or use another folder (--out)'
          : `wait for the other command, or remove ${lock} if none is running`,
        cause: error,
      });
    if (error instanceof ClusterError || systemCode(error) === undefined) throw error;
    throw diskError(folder, error);
  }
}

interface Creation {
  readonly folder: string;
  /** Whether this command created the folder. */
  readonly isNew: boolean;
  readonly names: readonly [string, ...string[]];
  readonly days: number;
}

async function create({ folder, isNew, names, days }: Creation): Promise<void> {
  const { makeAuthority, makeCertificate } = await import('../secrets/certificate-authority.ts');
  const now = new Date();
  const [caFile, caKeyFile] = [join(folder, 'ca.crt'), join(folder, 'ca.key')];
  const old = readAuthority(caFile, caKeyFile, now);
  // In a folder that this command created, git ignores everything, since users put tokens beside
  // the keys. Any other folder may contain unrelated files. Older versions created folders without
  // a .gitignore.
  const isOwn = isNew || (old !== undefined && !existsSync(join(folder, '.gitignore')));
  hideFromGit(folder, isOwn ? ['*'] : ['/ca.key', '/coordinator.key']);
  const authority = old ?? (await makeAuthority('mnist-dist private CA', days, now));
  if (old === undefined) await write(authority, caFile, caKeyFile);
  const own = await makeCertificate(authority, names, days, now);
  const [file, keyFile] = [join(folder, 'coordinator.crt'), join(folder, 'coordinator.key')];
  await write(
    { certificate: own.certificate + authority.certificate, key: own.key },
    file,
    keyFile,
  );
  const lines = [
    `${old === undefined ? 'created' : 'used'} the authority in ${caFile}; ` +
      `keep ${caKeyFile} secret: machines that train do not need it`,
    `created ${file} and ${keyFile} for ${names.join(', ')}, ` +
      validityText(own.certificate, days, now),
    '',
    'mnist-dist coordinator --host 0.0.0.0 ' +
      `--ssl-certfile ${shellPath(file)} --ssl-keyfile ${shellPath(keyFile)}`,
  ];
  stdout.write(...lines);
}

function namesOf(given: readonly string[]): [string, ...string[]] {
  const names = given.map((text) => {
    const name = host.parse(text);
    if (name !== undefined && !isWildcard(name)) return name;
    throw new ClusterError('USAGE', `"${text}" is not a host name or an IP address`, {
      fix: `allowed: ${host.allowed}`,
    });
  });
  const [first = 'localhost', ...rest] = new Set([...names, ...LOOPBACK]);
  return [first, ...rest];
}

/** How long a certificate is valid: `days` from now, unless its authority expires earlier. */
function validityText(certificate: string, days: number, now: Date): string {
  const end = Date.parse(new X509Certificate(certificate).validTo);
  // Certificates contain whole seconds.
  const isCapped = end + 1000 < now.getTime() + days * DAY_MILLISECONDS;
  return isCapped
    ? `valid until ${new Date(end).toISOString()}, when the authority expires`
    : `valid for ${days} days`;
}

/**
 * The authority that an earlier call created, if any. Throws USAGE if one of its two files is
 * missing or unfit to sign a certificate, and TLS if the authority has expired.
 */
function readAuthority(file: string, keyFile: string, now: Date): CertificatePair | undefined {
  if (!existsSync(file) && !existsSync(keyFile)) return undefined;
  const missing = [file, keyFile].find((each) => !existsSync(each));
  if (missing !== undefined)
    throw unfit(`the authority in that folder is incomplete: ${missing} is missing`);
  const [certificate] = readCertificates(file, 'ca.crt');
  const owner = statSync(keyFile).uid;
  if (owner !== process.geteuid?.() && owner !== 0)
    throw unfit(
      `${keyFile} belongs to another user (uid ${owner}), who could also sign certificates that ` +
        "this coordinator's workers trust",
    );
  const key = privateKeyOf(readSecretFile(keyFile, 'ca.key', pemFileLimit));
  if (key === undefined) throw unfit(`${keyFile} contains no private key without a passphrase`);
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw unfit(`${keyFile} contains a key of another type than EC P-256`);
  if (certificate?.checkPrivateKey(key) !== true)
    throw unfit(`${keyFile} is not the private key for ${file}`);
  if (!certificate.ca) throw unfit(`${file} is not the certificate of an authority`);
  checkValidity(certificate, file, now, NEW_AUTHORITY);
  return {
    certificate: String(certificate),
    key: String(key.export({ type: 'pkcs8', format: 'pem' })),
  };
}

function privateKeyOf(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function unfit(message: string): ClusterError {
  return new ClusterError('USAGE', message, {
    fix: `restore the files, or ${NEW_AUTHORITY}`,
  });
}

async function write(
  { certificate, key }: CertificatePair,
  file: string,
  keyFile: string,
): Promise<void> {
  writeSecretFile(keyFile, key);
  await writeWhole(file, certificate);
}
