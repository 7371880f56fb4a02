import { rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname } from 'node:path';
import type { ErrorCode } from '../../shared/errors.ts';
import { hostPort, isLoopback, isWildcard } from '../../shared/wire/address.ts';
import { shellPath } from '../../shared/shell-word.ts';
import { joinText } from './join.ts';
import type { Log } from '../terminal/log.ts';
import { hideFromGit, writeSecretFile } from './secret-file.ts';
import type { OwnCertificate } from './tls-files.ts';

/** A listener that waits for workers, and what they need to know of it. */
export interface JoinEndpoint {
  readonly host: string;
  readonly port: number;
  readonly advertise: string | undefined;
  readonly certificate: OwnCertificate | undefined;
  readonly token: string;
}

/** The name or address by which workers dial it. */
export function dialName({
  host,
  advertise,
  certificate,
}: Omit<JoinEndpoint, 'port' | 'token'>): string {
  if (advertise !== undefined) return advertise;
  if (!isWildcard(host)) return host;
  const names = certificate?.names ?? [];
  // With a certificate for this machine alone, any other name would be refused.
  return names.find((name) => !isLoopback(name)) ?? names[0] ?? hostname();
}

/** Where workers dial it, as a URL. */
export function dialUrl(endpoint: Omit<JoinEndpoint, 'token'>): string {
  return `${endpoint.certificate === undefined ? 'ws' : 'wss'}://${hostPort(dialName(endpoint), endpoint.port)}`;
}

export function joinTextOf(endpoint: JoinEndpoint): string {
  return joinText({
    coordinator: dialUrl(endpoint),
    token: endpoint.token,
    ca: endpoint.certificate?.top,
  });
}

/**
 * Opens the endpoint of what is served; where that fails nobody could join, and it ends before it has
 * begun. Rejects as `open` throws.
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
 * Writes the join string into a file of the run directory that only its owner reads and git passes
 * over; returns how to remove it. What an earlier coordinator left is replaced.
 */
export function writeJoinFile(file: string, endpoint: JoinEndpoint): () => void {
  const showToGit = hideFromGit(dirname(file), [`/${basename(file)}`, '/.gitignore']);
  writeSecretFile(file, `${joinTextOf(endpoint)}\n`);
  return () => {
    rmSync(file, { force: true });
    showToGit();
  };
}

/**
 * Says how workers join. `sameUser`: whether those of this user on this machine find the token by
 * themselves. The join string is shown to who looks at a terminal, and to no log; `joinFile` has
 * it.
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
