import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  dialName,
  joinTextOf,
  removeOwnJoinFile,
  tokenOfJoinFile,
  writeJoinFile,
} from '../../../../cli/secrets/join-command.ts';
import { hasBegun, isWhole, joinText, parseJoin } from '../../../../cli/secrets/join.ts';
import type { OwnCertificate } from '../../../../cli/secrets/tls-files.ts';
import { cacheDirectory } from '../../../../shared/disk/cache-directory.ts';
import { ClusterError } from '../../../../shared/errors.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const token = 'a-token+with/odd=characters&#%0123';
const ca = 'ab'.repeat(32);

function errorOf(text: string): ClusterError {
  try {
    parseJoin(text);
  } catch (error) {
    if (error instanceof ClusterError) return error;
  }
  throw new Error('no error was thrown');
}

describe('a join string', () => {
  it('is parsed into its parts, even from a log line', () => {
    for (const join of [
      { coordinator: 'wss://10.0.0.5:29400', token, ca },
      { coordinator: 'wss://[fe80::1]:1', token, ca },
      { coordinator: 'ws://gpu0.example:29400', token, ca: undefined },
    ]) {
      const text = joinText(join);
      expect(parseJoin(text)).toEqual(join);
      expect(parseJoin(`  13:00:00 ${text}\r\n`)).toEqual(join);
    }
  });

  it('may have its scheme and its digest in capitals', () => {
    const join = { coordinator: 'wss://10.0.0.5:29400', token, ca };
    const text = joinText({ ...join, ca: ca.toUpperCase() }).replace('wss', 'WSS');
    expect(parseJoin(text)).toEqual(join);
    expect(parseJoin(`${text.slice(0, 40)}\n${text.slice(40)}\nnext line\n`)).toEqual(join);
    expect(isWhole(text)).toBe(true);
    expect(hasBegun('join with WSS://10.0')).toBe(true);
    const plain = { coordinator: 'ws://10.0.0.5:29400', token, ca: undefined };
    expect(parseJoin(joinText(plain).replace('ws', 'Ws'))).toEqual(plain);
  });

  it.each([
    ['a byte order mark', (text: string) => `\ufeff${text}\n`],
    ['quotes', (text: string) => `"${text}"`],
    ['single quotes', (text: string) => `'${text}' `],
    ['angle brackets', (text: string) => `<${text}>\r\n`],
    ['blank lines before it', (text: string) => `\n \r\n\t\n${text}`],
    ['spaces around it', (text: string) => `   ${text}   \n`],
    ['bracketed-paste markers', (text: string) => `\u001b[200~${text}\u001b[201~`],
    ['a line break inside it', (text: string) => `${text.slice(0, 70)}\r${text.slice(70)}\r`],
    [
      'indented pieces',
      (text: string) => `  ${text.slice(0, 33)}\n  ${text.slice(33, 90)}\n  ${text.slice(90)}\n`,
    ],
    ['a break inside the address', (text: string) => `${text.slice(0, 9)}\n${text.slice(9)}`],
    ['a sentence around it', (text: string) => `join with ${text}.\n`],
    ['a log line after it', (text: string) => `13:00:00 ${text}\n13:00:01 w0 is ready\n`],
  ])('is found with %s', (_what, changed) => {
    const join = { coordinator: 'wss://10.0.0.5:29400', token, ca };
    expect(parseJoin(changed(joinText(join)))).toEqual(join);
    const plain = {
      coordinator: 'ws://10.0.0.5:29400',
      token: `${token}${'x'.repeat(60)}`,
      ca: undefined,
    };
    const text = changed(joinText(plain));
    // A full stop may be the last character of the token.
    if (!text.includes('.\n')) expect(parseJoin(text)).toEqual(plain);
  });

  it('is a URL whose secrets are in the fragment, which no client sends', () => {
    const url = new URL(joinText({ coordinator: 'wss://10.0.0.5:29400', token, ca }));
    expect(url.hash).toContain('token=');
    url.hash = '';
    expect(url.href).toBe('wss://10.0.0.5:29400/');
  });

  it.each([
    ['nothing', ''],
    ['an address alone', 'wss://10.0.0.5:29400/'],
    ['TLS without a certificate digest', `wss://10.0.0.5:29400/#token=${token.slice(0, 16)}`],
    ['a truncated string', joinText({ coordinator: 'wss://h:1', token, ca }).slice(0, -1)],
    ['a certificate without TLS', `ws://10.0.0.5:29400/#token=aaaaaaaaaaaaaaaaaaaa&ca=${ca}`],
    ['a short token', `wss://10.0.0.5:29400/#token=secret&ca=${ca}`],
    ['no token', `wss://10.0.0.5:29400/#ca=${ca}`],
    ['a different scheme', `https://10.0.0.5:29400/#token=aaaaaaaaaaaaaaaaaaaa&ca=${ca}`],
    ['a path', `wss://10.0.0.5:29400/x#token=aaaaaaaaaaaaaaaaaaaa&ca=${ca}`],
  ])('rejects %s without repeating it', (_what, text) => {
    const error = errorOf(text);
    expect(error).toMatchObject({ code: 'USAGE', fix: expect.any(String) });
    for (const secret of ['secret', 'aaaa', token.slice(0, 16)])
      expect(`${error.message} ${error.fix}`).not.toContain(secret);
  });
});

describe('the join file of a coordinator that crashed', () => {
  const endpoint = {
    host: '10.0.0.5',
    port: 29_400,
    advertise: undefined,
    certificate: undefined,
    token,
  };

  beforeEach(() => {
    vi.stubEnv('MNIST_DIST_CACHE', join(temporaryFolder(), 'cache'));
    return () => vi.unstubAllEnvs();
  });

  it('yields the token of the next coordinator, by any path to the run', () => {
    const folder = temporaryFolder();
    writeJoinFile(join(folder, 'join'), endpoint);
    expect(tokenOfJoinFile(join(folder, 'join'))).toBe(token);
    const link = join(temporaryFolder(), 'link');
    symlinkSync(folder, link);
    expect(tokenOfJoinFile(join(link, 'join'))).toBe(token);
  });

  it('yields none if it came with the run directory', () => {
    const folder = temporaryFolder();
    const remove = writeJoinFile(join(folder, 'join'), endpoint);
    const copy = temporaryFolder();
    cpSync(join(folder, 'join'), join(copy, 'join'));
    expect(tokenOfJoinFile(join(copy, 'join'))).toBeUndefined();
    const other = joinTextOf({ ...endpoint, token: 'x'.repeat(32) });
    writeFileSync(join(folder, 'join'), `${other}\n`, { mode: 0o600 });
    expect(tokenOfJoinFile(join(folder, 'join'))).toBeUndefined();
    remove();
    expect(readdirSync(join(cacheDirectory(), 'joins'))).toEqual([]);
  });

  it('is removed by a coordinator that needs none, unless it came with the run', () => {
    const file = join(temporaryFolder(), 'join');
    writeJoinFile(file, endpoint);
    removeOwnJoinFile(file);
    expect(existsSync(file)).toBe(false);
    expect(readdirSync(join(cacheDirectory(), 'joins'))).toEqual([]);
    writeFileSync(file, 'something else', { mode: 0o600 });
    removeOwnJoinFile(file);
    expect(existsSync(file)).toBe(true);
  });

  it('is forgotten once it is gone', () => {
    const gone = temporaryFolder();
    writeJoinFile(join(gone, 'join'), endpoint);
    rmSync(join(gone, 'join'));
    writeJoinFile(join(temporaryFolder(), 'join'), endpoint);
    expect(readdirSync(join(cacheDirectory(), 'joins'))).toHaveLength(1);
  });

  it('is recorded while other coordinators write and drop records', () => {
    const records = join(cacheDirectory(), 'joins');
    writeJoinFile(join(temporaryFolder(), 'join'), endpoint);
    const unfinished = `${'0'.repeat(64)}.0123456789ab.tmp`;
    writeFileSync(join(records, unfinished), '');
    // A record that is listed but cannot be read, as if it had just been dropped.
    symlinkSync('nowhere', join(records, 'f'.repeat(64)));
    const file = join(temporaryFolder(), 'join');
    writeJoinFile(file, endpoint);
    expect(tokenOfJoinFile(file)).toBe(token);
    expect(readdirSync(records)).toContain(unfinished);
  });

  it('yields none if it is missing, damaged, a link, or readable by others', () => {
    const folder = temporaryFolder();
    const file = join(folder, 'join');
    expect(tokenOfJoinFile(file)).toBeUndefined();
    writeJoinFile(file, endpoint);
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.slice(0, 30));
    expect(tokenOfJoinFile(file)).toBeUndefined();
    writeFileSync(file, text);
    chmodSync(file, 0o640);
    expect(tokenOfJoinFile(file)).toBeUndefined();
    chmodSync(file, 0o600);
    renameSync(file, join(folder, 'aside'));
    symlinkSync(join(folder, 'aside'), file);
    expect(tokenOfJoinFile(file)).toBeUndefined();
    if (process.getuid?.() !== 0) return;
    renameSync(join(folder, 'aside'), file);
    expect(tokenOfJoinFile(file)).toBe(token);
    chownSync(file, 12_345, 12_345);
    expect(tokenOfJoinFile(file)).toBeUndefined();
  });
});

describe('the name that workers dial', () => {
  const certificate: OwnCertificate = {
    cert: '',
    key: '',
    top: ca,
    names: ['localhost', 'gpu0', '10.0.0.5'],
  };
  it("is --advertise, otherwise the listener's host, otherwise a name in the certificate", () => {
    const endpoint = { host: '0.0.0.0', advertise: undefined, certificate };
    expect(dialName({ ...endpoint, advertise: 'nat.example' })).toBe('nat.example');
    expect(dialName({ ...endpoint, host: '10.0.0.7' })).toBe('10.0.0.7');
    expect(dialName(endpoint)).toBe('gpu0');
    const local = { ...certificate, names: ['127.0.0.1', 'localhost'] };
    expect(dialName({ ...endpoint, certificate: local })).toBe('127.0.0.1');
    expect(dialName({ ...endpoint, certificate: undefined })).not.toBe('');
    expect(parseJoin(joinTextOf({ ...endpoint, host: '::', port: 5, token }))).toEqual({
      coordinator: 'wss://gpu0:5',
      token,
      ca,
    });
  });
});
