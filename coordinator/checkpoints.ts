import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../data/system-error.ts';
import { diskError, writeWhole } from '../data/whole-file.ts';
import { decodeCheckpoint, encodeCheckpoint, type Checkpoint } from '../shared/checkpoint-file.ts';
import type { Configuration } from '../shared/configuration.ts';
import { ClusterError } from '../shared/errors.ts';

const NAME = /^step-(\d{10})\.safetensors$/;

/** The checkpoints of a run: checkpoints/step-<ten digits>.safetensors, the last few of them. */
export class Checkpoints {
  readonly #directory: string;
  readonly #keep: number;

  constructor(runDirectory: string, keep: number) {
    this.#directory = join(runDirectory, 'checkpoints');
    this.#keep = keep;
  }

  /** Writes one whole, and only then removes the oldest that are too many. Rejects with DISK. */
  async write(checkpoint: Checkpoint): Promise<void> {
    const name = `step-${String(checkpoint.step).padStart(10, '0')}.safetensors`;
    try {
      await mkdir(this.#directory, { recursive: true });
    } catch (error) {
      throw diskError(this.#directory, error);
    }
    await writeWhole(join(this.#directory, name), encodeCheckpoint(checkpoint));
    const names = await this.#names();
    for (const old of names.slice(this.#keep)) await rm(join(this.#directory, old), { force: true });
  }

  /** The newest that is intact; of every newer one that is not, `damaged` is told why. Undefined where there is none. */
  async newest(
    configuration: Configuration,
    damaged: (error: ClusterError) => void,
  ): Promise<Checkpoint | undefined> {
    for (const name of await this.#names()) {
      const path = join(this.#directory, name);
      try {
        return decodeCheckpoint(await readFile(path), path, configuration);
      } catch (error) {
        if (!(error instanceof ClusterError)) throw error;
        damaged(error);
      }
    }
    return undefined;
  }

  /** The newest first. */
  async #names(): Promise<string[]> {
    try {
      const names = await readdir(this.#directory);
      return names
        .filter((name) => NAME.test(name))
        .toSorted()
        .toReversed();
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
