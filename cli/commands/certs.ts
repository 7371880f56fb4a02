import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectories, writeWhole } from '../../shared/disk/whole-file.ts';
import { isWildcard } from '../../shared/wire/address.ts';
import { ClusterError } from '../../shared/errors.ts';
import { shellPath } from '../../shared/shell-word.ts';
import type { CertificatePair } from '../secrets/certificate-authority.ts';
import { host } from '../options/endpoint.ts';
import { stdout } from '../terminal/output.ts';
import type { CertsOptions, CommandLine } from '../options/options.ts';
import { hideFromGit, readSecretFile, writeSecretFile } from '../secrets/secret-file.ts';
import { pemFileLimit, readCertificates } from '../secrets/tls-files.ts';

/** Names by which workers on the coordinator's own machine reach it. */
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/**
 * `mnist-dist certs NAME...`: creates a private certificate authority and uses it to sign a
 * certificate for a coordinator with these names and addresses. Reuses an existing authority, so
 * that workers that trust it do not need a new file.
 */
export async function certs(
  { out, days }: CertsOptions,
  { operands }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  const names = namesOf(operands);
  const folder = out ?? 'certs';
  const isNew = await makeDirectories(folder);
  const { makeAuthority, makeCertificate } = await import('../secrets/certificate-authority.ts');
  const now = new Date();
  const [caFile, caKeyFile] = [join(folder, 'ca.crt'), join(folder, 'ca.key')];
  const old = readAuthority(caFile, caKeyFile);
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
    `created ${file} and ${keyFile} for ${names.join(', ')}, valid for ${days} days`,
    '',
    'mnist-dist coordinator --host 0.0.0.0 ' +
      `--ssl-certfile ${shellPath(file)} --ssl-keyfile ${shellPath(keyFile)}`,
  ];
  stdout.write(...lines);
  return 0;
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

/**
 * The authority that an earlier call created, if any. Throws USAGE if one of its two files is
 * missing.
 */
function readAuthority(file: string, keyFile: string): CertificatePair | undefined {
  if (!existsSync(file) && !existsSync(keyFile)) return undefined;
  const missing = [file, keyFile].find((each) => !existsSync(each));
  if (missing === undefined)
    return {
      certificate: readCertificates(file, 'ca.crt').map(String).join(''),
      key: readSecretFile(keyFile, 'ca.key', pemFileLimit),
    };
  throw new ClusterError(
    'USAGE',
    `the authority in that folder is incomplete: ${missing} is missing`,
    {
      fix:
        'restore the file, or create a new authority in another folder (--out); ' +
        'all workers then need its ca.crt',
    },
  );
}

async function write(
  { certificate, key }: CertificatePair,
  file: string,
  keyFile: string,
): Promise<void> {
  writeSecretFile(keyFile, key);
  await writeWhole(file, certificate);
}
