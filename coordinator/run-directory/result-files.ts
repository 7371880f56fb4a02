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
 * Rejects with DATA where the end of a run could not put its results: a folder, or anything else
 * but a file of its own, has the name of one. All the training would be done by then.
 */
export async function checkPlacesOfResults(run: string, disk: Disk): Promise<void> {
  await checkPlaces(
    [
      MODEL_FILE,
      join(ARTIFACTS_FOLDER, MISTAKES_FILE),
      join(ARTIFACTS_FOLDER, ARTIFACTS_MANIFEST),
    ].map((name) => join(run, name)),
    disk,
  );
}

async function checkPlaces(paths: readonly string[], disk: Disk): Promise<void> {
  for (const path of paths) {
    try {
      await disk.size(path);
    } catch (error) {
      // There is none yet, or one that may be replaced although it may not be read.
      if (error instanceof ClusterError) throw error;
    }
  }
}

/**
 * Removes what artifacts/ shows of a run that goes on: it would be another model's. The manifest
 * first, for without it nothing there is whole; what it does not name stays, the mistakes aside.
 * All of it by way of `staging`: whoever was fenced off removes nothing. Rejects with DISK, and with
 * DATA, before anything is removed, where one of them is no file.
 */
export async function forgetArtifacts(run: string, staging: string, disk: Disk): Promise<void> {
  const folder = join(run, ARTIFACTS_FOLDER);
  // It is empty until the run ends: copying programs leave such a folder out.
  if (!(await disk.isFolder(folder))) return await makeOwnFolder(folder, disk);
  const manifest = join(folder, ARTIFACTS_MANIFEST);
  const names = await namesIn(manifest, disk);
  await checkPlaces(
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

/** Of one that is missing, or was changed, nothing is believed. */
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
