import { join } from 'node:path';
import { systemDisk, type Disk } from '../../shared/disk/disk.ts';
import { tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { decodeInit } from '../../shared/files/init-file.ts';
import { INIT_FILE } from '../../shared/files/run-layout.ts';

/**
 * The weights that a run began with, from its init.safetensors; undefined if it began with drawn
 * ones. Rejects with DATA if the file is missing, damaged, or not the one that the recipe names.
 */
export async function readInit(
  directory: string,
  configuration: Configuration,
  disk: Disk = systemDisk,
): Promise<Float32Array | undefined> {
  if (configuration.init === undefined) return undefined;
  const path = join(directory, INIT_FILE);
  try {
    return decodeInit(await disk.read(path, tensorFileLimit), path, configuration);
  } catch (error) {
    throw explained(path, error);
  }
}

function explained(path: string, error: unknown): ClusterError {
  const fix = 'restore the file from a copy of the run, or start a new run';
  const why = 'it has the weights that the run began with (--init)';
  if (error instanceof ClusterError)
    return new ClusterError(error.code, `${error.message}; ${why}`, { fix, cause: error });
  const what =
    systemCode(error) === 'ENOENT' ? 'is missing' : `cannot be read: ${messageOf(error)}`;
  return new ClusterError('DATA', `${path} ${what}; ${why}`, { fix, cause: error });
}
