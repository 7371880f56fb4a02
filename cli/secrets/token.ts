import { isIP } from 'node:net';
import { join } from 'node:path';
import { isLoopback } from '../../shared/wire/address.ts';
import { ClusterError } from '../../shared/errors.ts';
import {
  MAX_TOKEN_CHARACTERS,
  MAX_TOKEN_FILE_BYTES,
  MIN_TOKEN_CHARACTERS,
} from '../../shared/limits.ts';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';
import { readSecretFile } from './secret-file.ts';

/** The token from --token-file, or else from MNIST_DIST_TOKEN; undefined if neither is set. */
export function givenToken(
  file: string | undefined,
  environment: NodeJS.ProcessEnv,
): string | undefined {
  if (file !== undefined) return readToken(file);
  // A value that a shell or an orchestrator read from a file may end with its line break.
  const token = environment['MNIST_DIST_TOKEN']?.replace(/\r?\n$/, '');
  return token === undefined || token === '' ? undefined : checkedToken(token, 'MNIST_DIST_TOKEN');
}

/**
 * The file for a token that a coordinator generated; the same user's workers find the token there.
 * Its name is the port, preceded by the address if that is a loopback address other than 127.0.0.1:
 * coordinators on different addresses may have the same port.
 */
export function loopbackTokenFile(host: string, port: number): string {
  const isNamed = isIP(host) !== 0 && isLoopback(host) && host !== '127.0.0.1';
  return join(cacheDirectory(), 'tokens', isNamed ? `${host}-${port}` : String(port));
}

/** The files in which a worker that dials `hostname` looks for the token, one after the other. */
function tokenFilesOf({ hostname, port, protocol }: URL): string[] {
  const dialled = Number(port === '' ? (protocol === 'wss:' ? 443 : 80) : port);
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  // Some systems resolve localhost to ::1, for a coordinator or for a worker.
  const hosts = host === '::1' || host === 'localhost' ? [host, '127.0.0.1', '::1'] : [host];
  return [...new Set(hosts.map((each) => loopbackTokenFile(each, dialled)))];
}

/**
 * A worker's token: the given token, or the token that the same user's coordinator wrote on this
 * machine. Returns a function to call at each connection attempt.
 */
export function workerToken(
  file: string | undefined,
  coordinator: URL,
  environment: NodeJS.ProcessEnv,
): () => string {
  const given = givenToken(file, environment);
  if (given !== undefined) return () => given;
  // Read at each attempt, since the coordinator may start or restart after the worker.
  const files = tokenFilesOf(coordinator);
  return () => {
    for (const local of files) {
      try {
        return readToken(local);
      } catch {
        // The connection attempt then shows whether a coordinator is listening and needs a token.
      }
    }
    return '';
  };
}

/** Reads a token from the file that `flag` specifies. Throws USAGE. */
export function readToken(file: string, flag = '--token-file'): string {
  return checkedToken(
    readSecretFile(file, flag, {
      name: 'MAX_TOKEN_FILE_BYTES',
      bytes: MAX_TOKEN_FILE_BYTES,
    }).trim(),
    file,
  );
}

/**
 * Returns the token if it is valid. Throws USAGE otherwise; the message does not repeat the token.
 */
export function checkedToken(token: string, source: string): string {
  if (
    /^[\x21-\x7e]+$/.test(token) &&
    token.length >= MIN_TOKEN_CHARACTERS &&
    token.length <= MAX_TOKEN_CHARACTERS
  )
    return token;
  throw new ClusterError(
    'USAGE',
    `${source} contains no usable token (${token.length} characters)`,
    {
      fix:
        `a token has ${MIN_TOKEN_CHARACTERS} to ${MAX_TOKEN_CHARACTERS} printable characters ` +
        'without spaces; `openssl rand -hex 32` creates one',
    },
  );
}
