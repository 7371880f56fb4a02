import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fateOf } from '../../bin/owner.mjs';
import {
  ownerSchema,
  systemProcesses,
  type Processes,
} from '../../coordinator/run-directory/processes.ts';
import { readEntryNow } from '../../shared/disk/regular-file.ts';

/**
 * Removes the tokens of coordinators that were killed on this host since it booted. The file PORT
 * or ADDRESS-PORT contains the token; the file with the same name plus .owner records the process
 * that wrote it. Files that cannot be read, or that may belong to a process on another host, are
 * kept.
 */
export function removeAbandonedTokens(
  folder: string,
  processes: Processes = systemProcesses,
): void {
  for (const name of readdirSync(folder)) {
    const token = /^((?:127(?:\.\d{1,3}){3}-|::1-)?\d{1,5})\.owner$/.exec(name)?.[1];
    if (token === undefined) continue;
    try {
      removeIfAbandoned(join(folder, token), join(folder, name), processes);
    } catch {
      // Harmless: an abandoned token does not give access to any run. Another process may have
      // removed the file.
    }
  }
}

function removeIfAbandoned(token: string, owner: string, processes: Processes): void {
  const text = readEntryNow(owner);
  const recorded = ownerSchema.parse(JSON.parse(text.toString('utf8')));
  if (fateOf(recorded, processes) !== 'gone') return;
  removeOwned(token, text);
}

/** Removes a token and its owner file if that file still contains `owner`. Never throws. */
export function removeToken(token: string, owner: string): void {
  try {
    removeOwned(token, Buffer.from(owner));
  } catch {
    // This user's next coordinator removes them.
  }
}

/**
 * Another coordinator may have taken the port, so the owner file is compared before it is removed.
 */
function removeOwned(token: string, text: Buffer): void {
  const owner = `${token}.owner`;
  const isOwn = removeIf(owner, (aside) => readEntryNow(aside).equals(text));
  if (isOwn) removeIf(token, () => !existsSync(owner));
}

/**
 * Renames a file, so that no other process writes to it, and removes it if `isDue` returns true for
 * the renamed file; otherwise restores it.
 */
function removeIf(file: string, isDue: (aside: string) => boolean): boolean {
  const aside = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  renameSync(file, aside);
  const due = isDue(aside);
  try {
    // A newer file with that name is kept, since link fails if one exists.
    if (!due) linkSync(aside, file);
  } finally {
    rmSync(aside, { force: true });
  }
  return due;
}
