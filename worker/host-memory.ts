import { SHARED_MEMORY_ROOMS } from '../shared/limits.ts';
import { PeerMemory, SharedMemory, type MemoryAddress } from '../shared/wire/shared-memory.ts';
import type { Tensor } from '../shared/wire/frame.ts';

/** A worker's end of the memory it shares with a coordinator on its host. */
export class HostMemory {
  readonly #theirs: PeerMemory;
  readonly #ours: SharedMemory;
  /** The coordinator writes its weights here only once it can read ours. */
  #isAgreed = false;
  #used = 0;

  /**
   * Throws when the coordinator's memory is out of reach: it runs on another host, or as another
   * user.
   */
  constructor(address: MemoryAddress, parameters: number) {
    this.#theirs = new PeerMemory(address, 4 * parameters);
    try {
      this.#ours = new SharedMemory(4 * (parameters + 1));
    } catch (error) {
      this.#theirs.close();
      throw error;
    }
  }

  /** Where the coordinator finds this worker's gradients. */
  get address(): MemoryAddress {
    return this.#ours.address;
  }

  weights(room: number, checksum: bigint): Tensor {
    this.#isAgreed = true;
    return this.#theirs.tensor(room, checksum);
  }

  /** New weights: the coordinator has read what it needed of the gradients before. */
  begin(): void {
    this.#used = 0;
  }

  /**
   * Writes a gradient and returns its room; undefined when it has to travel in a frame: before the
   * coordinator used its own memory, or when all rooms of this step are taken.
   */
  put(gradient: Uint8Array, checksum: bigint): number | undefined {
    if (!this.#isAgreed || this.#used === SHARED_MEMORY_ROOMS) return undefined;
    const room = this.#used;
    this.#ours.write(room, gradient, checksum);
    this.#used += 1;
    return room;
  }

  close(): void {
    this.#theirs.close();
    this.#ours.close();
  }
}
