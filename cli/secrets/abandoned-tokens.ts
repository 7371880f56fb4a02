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
 * Removes the tokens of coordinators that were killed on this host since it booted: PORT or
 * ADDRESS-PORT, whose owner the file with .owner names. What cannot be read, and what may belong to
 * a process elsewhere, stays.
 */
export function removeAbandonedTokens(
  folder: string,
  processes: Processes = systemProcesses,
): void {
  for (const name of readdirSync(folder)) {
    const token = /^((?:127(?:\.\d{1,3}){3}-)?\d{1,5})\.owner$/.exec(name)?.[1];
    if (token === undefined) continue;
    try {
      removeIfAbandoned(join(folder, token), join(folder, name), processes);
    } catch {
      // An abandoned token opens no run; another process may have removed its file.
    }
  }
}

function removeIfAbandoned(token: string, owner: string, processes: Processes): void {
  const text = readEntryNow(owner);
  const recorded = ownerSchema.parse(JSON.parse(text.toString('utf8')));
  if (fateOf(recorded, processes) !== 'gone') return;
  removeOwned(token, text);
}

/** Removes a token and its owner's file if that file still holds `owner`. Never throws. */
export function removeToken(token: string, owner: string): void {
  try {
    removeOwned(token, Buffer.from(owner));
  } catch {
    // As above; the next coordinator of this user tries again.
  }
}

/** Another coordinator may have taken the port: what is set aside is looked at before it goes. */
function removeOwned(token: string, text: Buffer): void {
  const owner = `${token}.owner`;
  const isOwn = setAside(owner, (aside) => readEntryNow(aside).equals(text));
  if (isOwn) setAside(token, () => !existsSync(owner));
}

/** Removes a file unless `isDue` says no when it has no name any more that others write to. */
function setAside(file: string, isDue: (aside: string) => boolean): boolean {
  const aside = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  renameSync(file, aside);
  const due = isDue(aside);
  try {
    // A newer file of that name stays.
    if (!due) linkSync(aside, file);
  } finally {
    rmSync(aside, { force: true });
  }
  return due;
}
