import { randomBytes } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolders } from '../../bin/files.mjs';
import { systemProcesses } from '../../coordinator/run-directory/processes.ts';
import { diskError } from '../../shared/disk/whole-file.ts';
import { removeAbandonedTokens, removeToken } from './abandoned-tokens.ts';
import { hideFromGit, writeSecretFile } from './secret-file.ts';
import { loopbackTokenFile } from './token.ts';

/** A new random token: 256 bits, in hexadecimal. */
export function generateToken(): string {
  return randomBytes(32).toString('hex');
}

/**
 * Writes the token to a file that only its owner can read, and removes the tokens of coordinators
 * that were killed. Returns the file and a function that removes it. Throws DISK.
 */
export function writeLoopbackToken(
  host: string,
  port: number,
  token: string,
): { file: string; remove: () => void } {
  const file = loopbackTokenFile(host, port);
  const folder = dirname(file);
  try {
    makeFolders(folder, 0o700);
    // An older version, or a copy, may have left the folder readable by others.
    chmodSync(folder, 0o700);
  } catch (error) {
    throw diskError(file, error);
  }
  hideFromGit(folder, ['*']);
  removeAbandonedTokens(folder);
  const owner = JSON.stringify(systemProcesses.self());
  // Written before the token, so that a running process's token always has an owner file.
  writeSecretFile(`${file}.owner`, owner);
  writeSecretFile(file, `${token}\n`);
  return { file, remove: () => removeToken(file, owner) };
}
