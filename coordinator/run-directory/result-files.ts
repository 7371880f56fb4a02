import { join } from 'node:path';
import type { Disk } from '../../shared/disk/disk.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { diskError, makeOwnFolder } from '../../shared/disk/whole-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import { artifactsManifestSchema } from '../../shared/files/artifacts-manifest.ts';
import {
  ARTIFACTS_FOLDER,
  ARTIFACTS_MANIFEST,
  MISTAKES_FILE,
  MODEL_FILE,
} from '../../shared/files/run-layout.ts';

/**
 * Rejects with DATA if a result's name is taken by anything but a regular file. Otherwise the
 * result could not be written at the end of the run, and all training would be lost.
 */
export async function checkResultPaths(run: string, disk: Disk): Promise<void> {
  await checkPaths(
    [
      MODEL_FILE,
      join(ARTIFACTS_FOLDER, MISTAKES_FILE),
      join(ARTIFACTS_FOLDER, ARTIFACTS_MANIFEST),
    ].map((name) => join(run, name)),
    disk,
  );
}

async function checkPaths(paths: readonly string[], disk: Disk): Promise<void> {
  for (const path of paths) {
    try {
      await disk.size(path);
    } catch (error) {
      // The file does not exist yet, or cannot be read but may be replaced.
      if (error instanceof ClusterError) throw error;
    }
  }
}

/**
 * Removes the artifacts of a run that is being resumed, since they belong to an older model: first
 * the manifest, then the files it lists and the mistakes. Files are moved to the staging folder
 * first, so that a coordinator that was taken over cannot remove them. Rejects with DISK, or with
 * DATA if one of the files is not a regular file; in that case nothing has been removed.
 */
export async function removeArtifacts(run: string, staging: string, disk: Disk): Promise<void> {
  const folder = join(run, ARTIFACTS_FOLDER);
  // The folder is empty until the run ends, and some programs do not copy empty folders.
  if (!(await disk.isFolder(folder))) return await makeOwnFolder(folder, disk);
  const manifest = join(folder, ARTIFACTS_MANIFEST);
  const names = await namesIn(manifest, disk);
  await checkPaths(
    names.map((name) => join(folder, name)),
    disk,
  );
  try {
    await forget(folder, [ARTIFACTS_MANIFEST], staging, disk);
    await forget(folder, [MISTAKES_FILE, ...names], staging, disk);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw diskError(manifest, error);
  }
}

async function forget(
  folder: string,
  names: readonly string[],
  staging: string,
  disk: Disk,
): Promise<void> {
  const draft = join(staging, 'forgotten');
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

/** The files that a manifest lists; none if the manifest is missing or invalid. */
async function namesIn(manifest: string, disk: Disk): Promise<string[]> {
  try {
    const { files } = artifactsManifestSchema.parse(
      JSON.parse(Buffer.from(await disk.read(manifest)).toString()),
    );
    return files.map(({ name }) => name);
  } catch {
    return [];
  }
}
