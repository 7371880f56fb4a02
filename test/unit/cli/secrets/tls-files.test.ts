import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { certs } from '../../../../cli/commands/certs.ts';
import { readOwnCertificate, type OwnCertificate } from '../../../../cli/secrets/tls-files.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import { digestOf } from '../../../../worker/trust.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { rawCertificate, TestAuthority, unusualKeys } from '../../../fixtures/certificates.ts';

const DAY_MILLISECONDS = 86_400_000;
let authority: TestAuthority;
let server: { own: string; cert: string; key: string };
beforeAll(async () => {
  authority = await TestAuthority.make();
  server = await authority.server(['gpu0.example', '10.0.0.5', '::1']);
});

let folder = '';
beforeEach(() => {
  folder = temporaryFolder();
});
const flags = ['--ssl-certfile', '--ssl-keyfile'] as const;

function write(name: string, text: string, mode = 0o600): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

function pemOf({ privateKey }: { privateKey: KeyObject }): string {
  return String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

function read(
  certificate: string | undefined,
  key: string | undefined,
  now = new Date(),
): OwnCertificate | undefined {
  return readOwnCertificate({ certificate, key, flags }, now);
}

function errorOf(...args: Parameters<typeof read>): ClusterError {
  try {
    read(...args);
  } catch (error) {
    if (error instanceof ClusterError) return error;
    throw error;
  }
  throw new Error('no error was thrown');
}

describe("a listener's certificate and key", () => {
  it("are read with the certificate's names and the digest of the topmost certificate", () => {
    const own = read(write('c', `# a comment\n${server.cert}`), write('k', server.key, 0o640));
    expect(own?.key).toBe(server.key);
    expect(own?.top).toBe(digestOf(new X509Certificate(authority.pair.certificate)));
    expect(own?.names).toEqual(['gpu0.example', '10.0.0.5', '::1']);
    expect(read(undefined, undefined)).toBeUndefined();
  });

  it('are rejected when one of them is missing', () => {
    expect(errorOf(write('c', server.cert), undefined).message).toContain('without --ssl-keyfile');
    expect(errorOf(undefined, write('k', server.key)).message).toContain('without --ssl-certfile');
    expect(errorOf(join(folder, 'none'), write('k', server.key)).message).toContain('none');
  });

  it("are rejected when the key is not the first certificate's", async () => {
    const other = await authority.server();
    const key = write('k', server.key);
    expect(errorOf(write('c', other.cert), key).message).toContain('is not the private key for');
    expect(errorOf(write('c', authority.pair.certificate + server.own), key).message).toContain(
      'is not the private key for',
    );
  });

  it('are rejected when a file contains something else', () => {
    const certificate = write('c', server.cert);
    expect(errorOf(certificate, write('k', 'no key')).message).toContain('no usable private key');
    expect(errorOf(write('x', 'nothing'), write('k', server.key)).message).toContain(
      'no usable certificate',
    );
    const broken = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
    expect(errorOf(write('x', broken), write('k', server.key)).message).toContain(
      'no usable certificate',
    );
  });

  it.each([0o604, 0o602, 0o644, 0o666, 0o620])(
    'are rejected when the key file has mode %o',
    (mode) => {
      const key = write('k', server.key, mode);
      const error = errorOf(write('c', server.cert), key);
      expect(error).toMatchObject({
        code: 'USAGE',
        fix: expect.stringContaining(`chmod 600 ${key}`),
      });
    },
  );

  it.each([
    [60, /expired at 20\d\d-/],
    [-60, /is not valid before 20\d\d-/],
  ])('are rejected %d days from now, when the certificate is not valid', (days, says) => {
    const now = new Date(Date.now() + days * DAY_MILLISECONDS);
    const error = errorOf(write('c', server.cert), write('k', server.key), now);
    expect(error.code).toBe('TLS');
    expect(error.message).toMatch(says);
  });
});

it('a chain is rejected when its authority has expired', async () => {
  const past = new Date(Date.now() - 400 * DAY_MILLISECONDS);
  const old = await TestAuthority.make('old CA', past);
  const own = await authority.server();
  const file = write('c', own.own + old.pair.certificate);
  expect(errorOf(file, write('k', own.key))).toMatchObject({
    code: 'TLS',
    message: expect.stringContaining(`the authority "CN=old CA" in ${file} expired at `),
    fix: expect.stringContaining('mnist-dist certs NAME --out DIR'),
  });
});

describe("a listener's certificate", () => {
  it.each([
    ['RSA with 512 bits', 'SHA-256', 'key too small'],
    ['RSA with 2048 bits', 'SHA-1', 'md too weak'],
    ['EC with secp256k1', 'SHA-256', 'TLS 1.3 has no secp256k1 keys'],
    ['DSA', 'SHA-256', 'TLS 1.3 has no DSA keys'],
  ] as const)('is rejected if OpenSSL cannot use it: %s, %s', (type, hash, reason) => {
    const { publicKey, privateKey } = unusualKeys[type]();
    const file = write('c', rawCertificate(publicKey, hash) + authority.pair.certificate);
    const error = errorOf(file, write('k', pemOf({ privateKey })));
    expect(error).toMatchObject({
      code: 'USAGE',
      fix: expect.stringContaining('mnist-dist certs'),
    });
    expect(error.message).toContain(`${file} (--ssl-certfile) cannot be used`);
    expect(error.message).toContain(reason);
  });
});

describe('mnist-dist certs', () => {
  beforeEach(() => {
    vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    return () => vi.restoreAllMocks();
  });
  const make = (...operands: string[]) =>
    certs({ config: undefined, out: folder, days: 10 }, { operands });
  const text = (name: string) => readFileSync(join(folder, name), 'utf8');
  const printed = (): string => vi.mocked(process.stdout.write).mock.calls.flat().join('');

  it('is run by one command at a time: later ones use the authority of the first', async () => {
    await Promise.all([make('one.example'), make('two.example'), make('three.example')]);
    expect(printed().match(/created the authority/g)).toHaveLength(1);
    expect(printed().match(/used the authority/g)).toHaveLength(2);
    const own = new X509Certificate(text('coordinator.crt'));
    expect(own.checkPrivateKey(createPrivateKey(text('coordinator.key')))).toBe(true);
    expect(own.verify(new X509Certificate(text('ca.crt')).publicKey)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.startsWith('.lock'))).toEqual([]);
  });

  it('names what it waits for, and what is not its lock', async () => {
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    await Promise.all([make('one.example'), make('two.example')]);
    expect(said.mock.calls.flat().join('')).toMatch(
      /^waiting for another process \(process \d+ on .*\), which holds the lock .*\.lock/,
    );
    writeFileSync(join(folder, '.lock'), '');
    await expect(make('three.example')).rejects.toMatchObject({
      code: 'DISK',
      message: expect.stringContaining('.lock is needed for a lock, but mnist-dist did not create'),
      fix: 'move it away, or use another folder (--out)',
    });
  });

  it('advises --out if its folder cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '');
    const options = { config: undefined, out: join(folder, 'file', 'certs'), days: 10 };
    await expect(certs(options, { operands: ['a.example'] })).rejects.toMatchObject({
      code: 'DISK',
      fix: expect.stringMatching(/^check its folder, or change the folder \(--out\)$/),
    });
  });

  it.each(['fe80::1%eth0', '10.5', '010.0.0.5', '0x0a000005', '256.0.0.1'])(
    'refuses %s, which no URL can dial',
    async (name) => {
      await expect(make(name)).rejects.toMatchObject({ code: 'USAGE' });
    },
  );

  it('creates an authority and a certificate for the names and for this machine', async () => {
    expect(await make('10.0.0.5', 'gpu0.example')).toBe(0);
    expect(printed()).toContain('valid for 10 days');
    expect(readdirSync(folder).toSorted()).toEqual([
      '.gitignore',
      'ca.crt',
      'ca.key',
      'coordinator.crt',
      'coordinator.key',
    ]);
    for (const key of ['ca.key', 'coordinator.key'])
      expect(statSync(join(folder, key)).mode & 0o777).toBe(0o600);
    const own = read(join(folder, 'coordinator.crt'), join(folder, 'coordinator.key'));
    const ca = new X509Certificate(text('ca.crt'));
    expect(own?.top).toBe(digestOf(ca));
    expect(own?.names).toEqual(['10.0.0.5', 'gpu0.example', 'localhost', '127.0.0.1', '::1']);
    const leaf = new X509Certificate(text('coordinator.crt'));
    expect(leaf.verify(ca.publicKey) && leaf.checkIssued(ca)).toBe(true);
    expect([ca.ca, leaf.ca]).toEqual([true, false]);
  });

  it('reuses an existing authority, so that workers do not need a new one', async () => {
    await make('gpu0');
    const [ca, first] = [text('ca.crt'), text('coordinator.crt')];
    await make('gpu1');
    expect(text('ca.crt')).toBe(ca);
    expect(text('coordinator.crt')).not.toBe(first);
    expect(read(join(folder, 'coordinator.crt'), join(folder, 'coordinator.key'))?.names).toContain(
      'gpu1',
    );
  });

  it('changes nothing when half of the authority is missing or a name is invalid', async () => {
    await expect(make('../x')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('"../x"'),
    });
    await expect(make('0.0.0.0')).rejects.toMatchObject({ code: 'USAGE' });
    expect(readdirSync(folder)).toEqual([]);
    await make('gpu0');
    const before = text('coordinator.crt');
    rmSync(join(folder, 'ca.key'));
    await expect(make('gpu0')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('ca.key'),
    });
    expect(text('coordinator.crt')).toBe(before);
  });

  it.each([
    ['contains no private key', (): string => 'garbage'],
    ['contains no private key', (): string => ''],
    ['contains a key of another type', () => pemOf(unusualKeys['RSA with 2048 bits']())],
    ['is not the private key for', () => server.key],
  ] as const)('changes nothing when ca.key %s', async (says, key) => {
    await make('gpu0');
    const before = text('coordinator.crt');
    writeFileSync(join(folder, 'ca.key'), key());
    await expect(make('gpu0')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(`${join(folder, 'ca.key')} ${says}`),
      fix: expect.stringContaining('--out'),
    });
    expect(text('coordinator.crt')).toBe(before);
  });

  // Only root can give its file to another user.
  it.skipIf(process.getuid?.() !== 0)("does not sign with another user's authority", async () => {
    await make('gpu0');
    chownSync(join(folder, 'ca.key'), 12_345, 12_345);
    await expect(make('gpu0')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('belongs to another user (uid 12345)'),
    });
  });

  it('refuses a ca.crt that is not an authority, and takes a key in another format', async () => {
    write('ca.crt', server.own);
    write('ca.key', server.key);
    await expect(make('gpu0')).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('ca.crt is not the certificate of an authority'),
    });
    write('ca.crt', authority.pair.certificate);
    const key = createPrivateKey(authority.pair.key);
    write('ca.key', String(key.export({ type: 'sec1', format: 'pem' })));
    expect(await make('gpu0')).toBe(0);
    const leaf = new X509Certificate(text('coordinator.crt'));
    expect(leaf.verify(new X509Certificate(authority.pair.certificate).publicKey)).toBe(true);
  });

  it('refuses an authority that has expired, and names --out', async () => {
    const old = await TestAuthority.make('old', new Date(Date.now() - 400 * DAY_MILLISECONDS));
    write('ca.crt', old.pair.certificate);
    write('ca.key', old.pair.key);
    await expect(make('gpu0')).rejects.toMatchObject({
      code: 'TLS',
      message: expect.stringContaining('the authority "CN=old" in'),
      fix: expect.stringContaining('--out'),
    });
  });

  it('creates no certificate that outlives its authority, and says so', async () => {
    // This authority is valid for two more days.
    const old = await TestAuthority.make('old', new Date(Date.now() - 298 * DAY_MILLISECONDS));
    write('ca.crt', old.pair.certificate);
    write('ca.key', old.pair.key);
    expect(await make('gpu0')).toBe(0);
    const { validTo } = new X509Certificate(old.pair.certificate);
    expect(new X509Certificate(text('coordinator.crt')).validTo).toBe(validTo);
    const end = new Date(Date.parse(validTo)).toISOString();
    expect(printed()).toContain(`valid until ${end}, when the authority expires`);
  });
});
