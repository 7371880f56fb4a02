import { SHARED_MEMORY_BUFFERS } from '../shared/limits.ts';
import { PeerMemory, SharedMemory, type MemoryAddress } from '../shared/wire/shared-memory.ts';
import type { Tensor } from '../shared/wire/frame.ts';

/** The worker's side of the memory that it shares with a coordinator on its host. */
export class HostMemory {
  readonly #theirs: PeerMemory;
  readonly #ours: SharedMemory;
  /** Whether the coordinator uses shared memory, which it does after it has opened the worker's. */
  #isAgreed = false;
  #used = 0;

  /**
   * Throws if the coordinator's memory is unreachable: it runs on another host or as another user.
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

  /** The address of this worker's gradients. */
  get address(): MemoryAddress {
    return this.#ours.address;
  }

  weights(buffer: number, checksum: bigint): Tensor {
    this.#isAgreed = true;
    return this.#theirs.tensor(buffer, checksum);
  }

  /** Starts a task. The coordinator no longer needs the gradients of the task before. */
  begin(): void {
    this.#used = 0;
  }

  /**
   * Writes a gradient and returns its buffer. Undefined if the gradient must travel in a frame:
   * before the coordinator has used its own memory, or when all buffers are in use.
   */
  put(gradient: Uint8Array, checksum: bigint): number | undefined {
    if (!this.#isAgreed || this.#used === SHARED_MEMORY_BUFFERS) return undefined;
    const buffer = this.#used;
    this.#ours.write(buffer, gradient, checksum);
    this.#used += 1;
    return buffer;
  }

  close(): void {
    this.#theirs.close();
    this.#ours.close();
  }
}
