import { SHARED_MEMORY_BUFFERS } from '../shared/limits.ts';
import type { MappedMemory, MemoryAddon } from '../shared/wire/memory-addon.ts';
import { PeerMemory, SharedMemory, type MemoryAddress } from '../shared/wire/shared-memory.ts';
import type { Tensor } from '../shared/wire/frame.ts';

/** The worker's side of the memory that it shares with a coordinator on the same host. */
export class HostMemory {
  readonly #theirs: PeerMemory;
  readonly #ours: SharedMemory;
  /**
   * Whether the coordinator uses shared memory. It does so once it has opened the worker's memory.
   */
  #isAgreed = false;
  #used = 0;

  /**
   * Throws if the coordinator's memory is unreachable because the coordinator runs on a different
   * host or as a different user.
   */
  constructor(address: MemoryAddress, parameters: number, addon?: MemoryAddon) {
    this.#theirs = new PeerMemory(address, 4 * parameters, addon);
    try {
      this.#ours = new SharedMemory(4 * (parameters + 1), addon);
    } catch (error) {
      this.#theirs.close();
      throw error;
    }
  }

  /** The address of the memory that holds this worker's gradients. */
  get address(): MemoryAddress {
    return this.#ours.address;
  }

  /** Both memories as the addon maps them; undefined unless it maps both. */
  get mapped(): { readonly ours: MappedMemory; readonly theirs: MappedMemory } | undefined {
    const [ours, theirs] = [this.#ours.mapped, this.#theirs.mapped];
    return ours === undefined || theirs === undefined ? undefined : { ours, theirs };
  }

  weights(buffer: number, checksum: bigint): Tensor {
    this.#isAgreed = true;
    return this.#theirs.tensor(buffer, checksum);
  }

  /** Starts a task. The coordinator no longer needs the gradients of the previous task. */
  begin(): void {
    this.#used = 0;
  }

  /**
   * Writes a gradient and returns its buffer. Returns undefined if the gradient must travel in a
   * frame, because the coordinator has not used its own memory yet or because all buffers are in
   * use.
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
