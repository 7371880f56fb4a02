import { join } from 'node:path';
import { z } from 'zod';
import type { Disk } from '../data/disk.ts';
import { systemCode } from '../data/system-error.ts';
import { diskError } from '../data/whole-file.ts';

/** What is there also of a run of which nothing was drawn. */
export const MISTAKES = 'misclassified.jsonl';
const MANIFEST = 'manifest.json';
const manifestSchema = z.object({
  files: z.array(z.object({ name: z.string().regex(/^(?!\.)[A-Za-z0-9._-]{1,128}$/) })),
});

/**
 * Removes what artifacts/ shows of a run that goes on: it would be another model's. The manifest first, for without it nothing there
 * is whole; what it does not name stays, the mistakes aside. All of it by way of `drafts`: whoever was fenced off removes nothing.
 * Rejects with DISK.
 */
export async function forgetArtifacts(run: string, drafts: string, disk: Disk): Promise<void> {
  const folder = join(run, 'artifacts');
  if (!(await disk.isFolder(folder))) return;
  const manifest = join(folder, MANIFEST);
  try {
    const names = await namesIn(manifest, disk);
    await forget(folder, [MANIFEST], drafts, disk);
    await forget(folder, [MISTAKES, ...names], drafts, disk);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw diskError(manifest, error);
  }
}

async function forget(folder: string, names: readonly string[], drafts: string, disk: Disk): Promise<void> {
  const draft = join(drafts, 'forgotten');
  for (const name of names) {
    try {
      await disk.rename(join(folder, name), draft);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
    }
    await disk.remove(draft);
  }
  await disk.syncDirectory(folder);
}

/** Of one that is missing, or was changed, nothing is believed. */
async function namesIn(manifest: string, disk: Disk): Promise<string[]> {
  try {
    const { files } = manifestSchema.parse(JSON.parse(Buffer.from(await disk.read(manifest)).toString()));
    return files.map(({ name }) => name);
  } catch {
    return [];
  }
}
