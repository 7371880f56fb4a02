import { join } from 'node:path';
import type { Disk } from '../../shared/disk/disk.ts';
import { tensorFileLimit } from '../../shared/disk/regular-file.ts';
import { systemCode } from '../../shared/disk/system-error.ts';
import { diskError, makeOwnFolder, syncNames, writeWhole } from '../../shared/disk/whole-file.ts';
import {
  decodeCheckpoint,
  encodeCheckpoint,
  type Checkpoint,
} from '../../shared/files/checkpoint-file.ts';
import type { Configuration } from '../../shared/configuration.ts';
import { ClusterError } from '../../shared/errors.ts';
import { CHECKPOINTS_FOLDER } from '../../shared/files/run-layout.ts';

const NAME = /^step-(\d{10})\.safetensors$/;

/** The step of a checkpoint's file, by its name; undefined for any other file. */
export function checkpointStep(name: string): number | undefined {
  const step = NAME.exec(name)?.[1];
  return step === undefined ? undefined : Number(step);
}

/** The checkpoints of a run: checkpoints/step-<ten digits>.safetensors, the last few of them. */
export class Checkpoints {
  readonly #directory: string;
  readonly #staging: string;
  readonly #keep: number;
  readonly #disk: Disk;
  #isMade = false;

  constructor(runDirectory: string, staging: string, keep: number, disk: Disk) {
    this.#directory = join(runDirectory, CHECKPOINTS_FOLDER);
    this.#staging = staging;
    this.#keep = keep;
    this.#disk = disk;
  }

  /**
   * Writes one whole, and only then removes the oldest that are too many; says how many bytes it
   * has. Rejects with DISK.
   */
  async write(checkpoint: Checkpoint): Promise<number> {
    const name = `step-${String(checkpoint.step).padStart(10, '0')}.safetensors`;
    if (!this.#isMade) await makeOwnFolder(this.#directory, this.#disk);
    this.#isMade = true;
    const bytes = encodeCheckpoint(checkpoint);
    await writeWhole(join(this.#directory, name), bytes, this.#disk, this.#staging);
    try {
      // A newer one was damaged: the run went on from before it, and it counts for nothing.
      const names = (await this.#names()).filter((other) => other <= name);
      for (const old of names.slice(this.#keep)) await this.#forget(old);
    } catch (error) {
      throw diskError(this.#directory, error);
    }
    return bytes.length;
  }

  /**
   * The newest that is intact; of every newer one that is not, `damaged` is told why. Undefined
   * where there is none. Whoever wrote it may have died before its name was synced: it is now,
   * before anything follows from it. Rejects with DISK.
   */
  async newest(
    configuration: Configuration,
    damaged: (error: ClusterError) => void,
  ): Promise<Checkpoint | undefined> {
    const names = await this.#names();
    if (names.length > 0) await syncNames(this.#directory, true, this.#disk);
    for (const name of names) {
      const path = join(this.#directory, name);
      try {
        return decodeCheckpoint(await this.#disk.read(path, tensorFileLimit), path, configuration);
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        damaged(error);
      }
    }
    return undefined;
  }

  /** By way of the staging: a coordinator that was taken over removes nothing. */
  async #forget(name: string): Promise<void> {
    const draft = join(this.#staging, name);
    try {
      await this.#disk.rename(join(this.#directory, name), draft);
    } catch (error) {
      // It is gone already, or the staging are: the next write finds that out.
      if (systemCode(error) !== 'ENOENT') throw error;
    }
    await this.#disk.remove(draft);
  }

  /** The newest first. */
  async #names(): Promise<string[]> {
    if (!(await this.#disk.isFolder(this.#directory))) return [];
    const names = await this.#disk.list(this.#directory);
    return names
      .filter((name) => checkpointStep(name) !== undefined)
      .toSorted()
      .toReversed();
  }
}
