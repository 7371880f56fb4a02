import { lstatSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname } from 'node:path';
import type { ErrorCode } from '../../shared/errors.ts';
import { hostPort, isLoopback, isWildcard } from '../../shared/wire/address.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { readEntryNow } from '../../shared/disk/regular-file.ts';
import { MAX_JOIN_CHARACTERS } from '../../shared/limits.ts';
import { joinText, parseJoin } from './join.ts';
import type { Log } from '../terminal/log.ts';
import { hideFromGit, writeSecretFile } from './secret-file.ts';
import { dropJoinRecord, isOwnJoinFile, recordJoinFile } from './own-join-files.ts';
import type { OwnCertificate } from './tls-files.ts';

const JOIN_LIMIT = { name: 'MAX_JOIN_CHARACTERS', bytes: MAX_JOIN_CHARACTERS };

/** A listener for workers, with the parts of its join string. */
export interface JoinEndpoint {
  readonly host: string;
  readonly port: number;
  readonly advertise: string | undefined;
  readonly certificate: OwnCertificate | undefined;
  readonly token: string;
}

/** The name or address that workers dial. */
export function dialName({
  host,
  advertise,
  certificate,
}: Omit<JoinEndpoint, 'port' | 'token'>): string {
  if (advertise !== undefined) return advertise;
  if (!isWildcard(host)) return host;
  const names = certificate?.names ?? [];
  // A worker would reject a name that the certificate does not contain.
  return names.find((name) => !isLoopback(name)) ?? names[0] ?? hostname();
}

/** The URL that workers dial. */
export function dialUrl(endpoint: Omit<JoinEndpoint, 'token'>): string {
  const scheme = endpoint.certificate === undefined ? 'ws' : 'wss';
  return `${scheme}://${hostPort(dialName(endpoint), endpoint.port)}`;
}

export function joinTextOf(endpoint: JoinEndpoint): string {
  return joinText({
    coordinator: dialUrl(endpoint),
    token: endpoint.token,
    ca: endpoint.certificate?.top,
  });
}

/**
 * Calls `open`, which tells workers how to join `serving`. If that throws, no worker could join, so
 * it stops `serving` and rejects with the error.
 */
export async function openOrStop<T>(
  serving: { stop(code: ErrorCode): void; readonly done: Promise<unknown> },
  open: () => T,
): Promise<T> {
  try {
    return open();
  } catch (error) {
    serving.stop('TERMINATED');
    await serving.done.catch(() => undefined);
    throw error;
  }
}

/**
 * Writes the join string to a file in the run directory that only its owner can read and that git
 * ignores. Replaces an earlier coordinator's file. Returns a function that removes the file.
 */
export function writeJoinFile(file: string, endpoint: JoinEndpoint): () => void {
  const showToGit = hideFromGit(dirname(file), [`/${basename(file)}`, '/.gitignore']);
  const text = `${joinTextOf(endpoint)}\n`;
  writeSecretFile(file, text);
  const dropRecord = recordJoinFile(file, text);
  return () => {
    rmSync(file, { force: true });
    dropRecord();
    showToGit();
  };
}

/**
 * The token in the join file of a coordinator that crashed, so that workers with that join string
 * can return; undefined unless this user's coordinator wrote the file and only they can read it.
 */
export function tokenOfJoinFile(file: string): string | undefined {
  try {
    const { uid, mode } = lstatSync(file);
    if (uid !== process.geteuid?.() || (mode & 0o077) !== 0) return undefined;
    const text = readEntryNow(file, JOIN_LIMIT).toString('utf8');
    return isOwnJoinFile(file, text) ? parseJoin(text).token : undefined;
  } catch {
    return undefined;
  }
}

/** Removes the join file of this user's coordinator that crashed, whose token is of no more use. */
export function removeOwnJoinFile(file: string): void {
  if (tokenOfJoinFile(file) === undefined) return;
  rmSync(file, { force: true });
  dropJoinRecord(file);
}

/**
 * Logs the command for workers to join with. `sameUser`: this user's workers on this machine find
 * the token on their own. `isShown`: print the join string, which only a terminal may show;
 * otherwise the command reads it from `joinFile`.
 */
export function announceJoin(
  endpoint: JoinEndpoint,
  wanted: string,
  {
    sameUser,
    joinFile,
    isShown,
  }: { sameUser: boolean; joinFile: string | undefined; isShown: boolean },
  log: Log,
): void {
  const url = dialUrl(endpoint);
  const waiting = `waiting for ${wanted}`;
  if (isLoopback(endpoint.host) && endpoint.certificate === undefined) {
    const how = sameUser ? '' : ' (with the same token)';
    return log.info({ url }, `${waiting}: mnist-dist worker --coordinator ${url}${how}`);
  }
  const from = joinFile === undefined ? '' : ` < ${shellPath(joinFile)}`;
  const insecure =
    endpoint.certificate === undefined && !isLoopback(endpoint.host) ? ' --insecure' : '';
  log.info(
    { url },
    `${waiting}: mnist-dist worker --join -${insecure}${isShown ? ', and paste this line:' : from}`,
  );
  if (isShown) log.info({}, joinTextOf(endpoint));
}
