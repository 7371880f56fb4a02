import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * The names of the subfolders that may be runs, sorted, including links to folders. A leading dot
 * marks an unfinished pull. Throws a system error if the folder cannot be read.
 */
export function runFolders(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  return entries
    .filter((entry) => {
      if (entry.name.startsWith('.')) return false;
      return entry.isSymbolicLink() ? leadsToFolder(join(folder, entry.name)) : entry.isDirectory();
    })
    .map(({ name }) => name)
    .toSorted();
}

function leadsToFolder(link: string): boolean {
  try {
    return statSync(link).isDirectory();
  } catch {
    // A link that cannot be followed does not lead to a usable run.
    return false;
  }
}
