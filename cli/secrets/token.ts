import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { dirname, join } from 'node:path';
import { isLoopback } from '../../shared/wire/address.ts';
import { ClusterError } from '../../shared/errors.ts';
import {
  MAX_TOKEN_CHARACTERS,
  MAX_TOKEN_FILE_BYTES,
  MIN_TOKEN_CHARACTERS,
} from '../../shared/limits.ts';
import { systemProcesses } from '../../coordinator/run-directory/processes.ts';
import { cacheDirectory } from '../../shared/disk/cache-directory.ts';
import { removeAbandonedTokens, removeToken } from './abandoned-tokens.ts';
import { diskError } from '../../shared/disk/whole-file.ts';
import { hideFromGit, readSecretFile, writeSecretFile } from './secret-file.ts';

/** The token that was given: by file, else by MNIST_DIST_TOKEN; undefined when by neither. */
export function givenToken(
  file: string | undefined,
  environment: NodeJS.ProcessEnv,
): string | undefined {
  if (file !== undefined) return readToken(file);
  const token = environment['MNIST_DIST_TOKEN'];
  return token === undefined || token === '' ? undefined : checkedToken(token, 'MNIST_DIST_TOKEN');
}

/** A new token: 256 bits, in hexadecimal. */
export function generateToken(): string {
  return randomBytes(32).toString('hex');
}

/**
 * Where a coordinator keeps the token it made, so that workers of the same user find it: by its
 * port, and by its address where that is a loopback address of its own (127.0.0.2).
 */
function loopbackTokenFile(host: string, port: number): string {
  const isOwn = isIPv4(host) && isLoopback(host) && host !== '127.0.0.1';
  return join(cacheDirectory(), 'tokens', isOwn ? `${host}-${port}` : String(port));
}

/**
 * Writes the token for its owner only, and removes those of coordinators that were killed; returns
 * how to remove it.
 */
export function writeLoopbackToken(
  host: string,
  port: number,
  token: string,
): { file: string; remove: () => void } {
  const file = loopbackTokenFile(host, port);
  const folder = dirname(file);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    // An older version, or a copy, may have left it open to others.
    chmodSync(folder, 0o700);
  } catch (error) {
    throw diskError(file, error);
  }
  hideFromGit(folder, ['*']);
  removeAbandonedTokens(folder);
  const owner = JSON.stringify(systemProcesses.self());
  // Before the token, so that no token of a running process is ever without its owner.
  writeSecretFile(`${file}.owner`, owner);
  writeSecretFile(file, `${token}\n`);
  return { file, remove: () => removeToken(file, owner) };
}

/** A worker's token: given, or left by a coordinator of the same user on this machine. */
export function workerToken(
  file: string | undefined,
  coordinator: URL,
  environment: NodeJS.ProcessEnv,
): () => string {
  const given = givenToken(file, environment);
  if (given !== undefined) return () => given;
  // Read at each attempt: the coordinator may start, or start again, after the worker.
  const port = Number(coordinator.port === '' ? 80 : coordinator.port);
  const local = loopbackTokenFile(coordinator.hostname, port);
  return () => {
    try {
      return readToken(local);
    } catch {
      // Whether nobody listens or a token is needed is for the coordinator's answer to say.
      return '';
    }
  };
}

/** Throws USAGE where the file that this flag named cannot be used. */
export function readToken(file: string, flag = '--token-file'): string {
  return checkedToken(
    readSecretFile(file, flag, {
      name: 'MAX_TOKEN_FILE_BYTES',
      bytes: MAX_TOKEN_FILE_BYTES,
    }).trim(),
    file,
  );
}

/** Throws USAGE, without repeating it, for what is no token. */
export function checkedToken(token: string, source: string): string {
  if (
    /^[\x21-\x7e]+$/.test(token) &&
    token.length >= MIN_TOKEN_CHARACTERS &&
    token.length <= MAX_TOKEN_CHARACTERS
  )
    return token;
  throw new ClusterError('USAGE', `${source} holds no usable token (${token.length} characters)`, {
    fix: `a token is ${MIN_TOKEN_CHARACTERS} to ${MAX_TOKEN_CHARACTERS} printable characters without spaces; \`openssl rand -hex 32\` makes one`,
  });
}
