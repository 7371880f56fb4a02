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
import { ClusterError, messageOf } from '../../shared/errors.ts';
import { CHECKPOINTS_FOLDER } from '../../shared/files/run-layout.ts';

const NAME = /^step-(\d{10})\.safetensors$/;

/** The step in the name of a checkpoint file; undefined for any other file. */
export function checkpointStep(name: string): number | undefined {
  const step = NAME.exec(name)?.[1];
  return step === undefined ? undefined : Number(step);
}

function nameOf(step: number): string {
  return `step-${String(step).padStart(10, '0')}.safetensors`;
}

/** A run's last few checkpoints: checkpoints/step-<ten digits>.safetensors. */
export class Checkpoints {
  readonly #directory: string;
  readonly #staging: string;
  readonly #count: number;
  readonly #disk: Disk;
  /** Names of files that `newest` found damaged. */
  readonly #damaged = new Set<string>();
  /** Names of files that `newest` could not read, such as those of another user. */
  readonly #unreadable = new Set<string>();
  #isMade = false;

  constructor(runDirectory: string, staging: string, count: number, disk: Disk) {
    this.#directory = join(runDirectory, CHECKPOINTS_FOLDER);
    this.#staging = staging;
    this.#count = count;
    this.#disk = disk;
  }

  /**
   * Writes a checkpoint, then removes damaged ones, and the oldest ones in excess of the number to
   * keep, except that of the step `spared` and those that cannot be read. Resolves with its size in
   * bytes; rejects with DISK.
   */
  async write(checkpoint: Checkpoint, spared?: number): Promise<number> {
    const name = nameOf(checkpoint.step);
    if (!this.#isMade) await makeOwnFolder(this.#directory, this.#disk);
    this.#isMade = true;
    const bytes = encodeCheckpoint(checkpoint);
    await writeWhole(join(this.#directory, name), bytes, this.#disk, this.#staging);
    try {
      this.#damaged.delete(name);
      this.#unreadable.delete(name);
      for (const damaged of this.#damaged) await this.#remove(damaged);
      this.#damaged.clear();
      // A newer checkpoint must be damaged (the run resumed from an earlier one), so it does not
      // count.
      const names = (await this.#names()).filter(
        (other) => other <= name && !this.#unreadable.has(other),
      );
      const best = spared === undefined ? undefined : nameOf(spared);
      for (const old of names.slice(this.#count)) if (old !== best) await this.#remove(old);
    } catch (error) {
      throw diskError(this.#directory, error);
    }
    return bytes.length;
  }

  /** The weights of a checkpoint that must exist. Rejects with DATA or DISK. */
  async weightsAt(step: number, configuration: Configuration): Promise<Float32Array> {
    const name = nameOf(step);
    try {
      return (await this.#intact(name, configuration)).weights;
    } catch (error) {
      const path = join(this.#directory, name);
      const { message } = error instanceof ClusterError ? error : unreadable(path, error);
      throw new ClusterError('DATA', message, {
        fix:
          'the checkpoint of the best epoch is needed (--keep-best): restore it, or resume the ' +
          'run, which then computes it again from an older checkpoint',
        cause: error,
      });
    }
  }

  /**
   * The newest intact checkpoint; undefined if there is none. `damaged` is called for each newer
   * checkpoint that is not intact, or that needs the checkpoint of an earlier best epoch which is
   * not. The checkpoints' names are synced first, which the coordinator that wrote them may not
   * have done. Rejects with DISK.
   */
  async newest(
    configuration: Configuration,
    damaged: (error: ClusterError) => void,
  ): Promise<Checkpoint | undefined> {
    const names = await this.#names();
    if (names.length > 0) await syncNames(this.#directory, true, this.#disk);
    for (const name of names) {
      try {
        const checkpoint = await this.#intact(name, configuration);
        await this.#requireBest(checkpoint, configuration);
        return checkpoint;
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        damaged(error);
      }
    }
    return undefined;
  }

  /** Reads a checkpoint, and remembers if it is damaged or cannot be read. Rejects with DATA. */
  async #intact(name: string, configuration: Configuration): Promise<Checkpoint> {
    const path = join(this.#directory, name);
    let bytes: Uint8Array;
    try {
      bytes = await this.#disk.read(path, tensorFileLimit);
    } catch (error) {
      const isSystem = systemCode(error) !== undefined;
      if (!isSystem && !(error instanceof ClusterError)) throw error;
      this.#unreadable.add(name);
      throw isSystem ? unreadable(path, error) : error;
    }
    try {
      return decodeCheckpoint(bytes, path, configuration);
    } catch (error) {
      this.#damaged.add(name);
      throw error;
    }
  }

  /**
   * With --keep-best, a run ends with the weights of its best epoch, so that it needs their
   * checkpoint as well. Rejects with DATA.
   */
  async #requireBest({ step, judgement }: Checkpoint, configuration: Configuration): Promise<void> {
    if (configuration.keepBest !== true || judgement === undefined) return;
    const { best } = judgement;
    if (best.step === step) return;
    try {
      await this.weightsAt(best.step, configuration);
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      throw new ClusterError(
        'DATA',
        `${join(this.#directory, nameOf(step))} needs the checkpoint of the best epoch ` +
          `(--keep-best): ${error.message}`,
        { cause: error },
      );
    }
  }

  /**
   * Moves the file to the staging folder first, so that a coordinator that was taken over cannot
   * remove it.
   */
  async #remove(name: string): Promise<void> {
    const draft = join(this.#staging, name);
    try {
      await this.#disk.rename(join(this.#directory, name), draft);
    } catch (error) {
      // Either the file or the staging folder is gone. If the folder is gone, the next write
      // reports it.
      if (systemCode(error) !== 'ENOENT') throw error;
    }
    await this.#disk.remove(draft);
  }

  /** Newest first. */
  async #names(): Promise<string[]> {
    if (!(await this.#disk.isFolder(this.#directory))) return [];
    const names = await this.#disk.list(this.#directory);
    return names
      .filter((name) => checkpointStep(name) !== undefined)
      .toSorted()
      .toReversed();
  }
}

function unreadable(path: string, error: unknown): ClusterError {
  return new ClusterError('DATA', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
}
