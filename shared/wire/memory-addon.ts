/** A memory that the addon has mapped; only the addon can look inside. */
export type MappedMemory = object;

/**
 * The functions of worker/native/addons/mapped-memory.cc. A process writes only memory that it
 * created; peers on the same host map it read-only. Each call throws for a position outside the
 * memory.
 */
export interface MemoryAddon {
  /** Creates a memory of zeros of a fixed size; throws if there is too little memory. */
  create(bytes: number): { readonly descriptor: number; readonly memory: MappedMemory };
  /** Maps a peer's memory, which must have this size and be sealed against resizing. */
  open(path: string, bytes: number): MappedMemory;
  close(memory: MappedMemory): void;
  write(memory: MappedMemory, at: number, bytes: Uint8Array): void;
  read(memory: MappedMemory, at: number, into: Uint8Array): void;
  /** Loads and stores a u32 in sequentially consistent order. */
  load(memory: MappedMemory, at: number): number;
  store(memory: MappedMemory, at: number, value: number): void;
  /** Wakes every process that waits for the word at `at`. */
  wake(memory: MappedMemory, at: number): void;
  /**
   * Waits until the word at `at` of one of the memories differs from its value or the time is over.
   * Stores 1 at `state` of `own` while it waits in the kernel, and 0 afterwards. Returns false if
   * this kernel cannot wait for several words.
   */
  wait(
    own: MappedMemory,
    state: number,
    memories: readonly MappedMemory[],
    at: number,
    values: readonly number[],
    microseconds: number,
  ): boolean;
  /** Sets how long each wait looks for a change before it waits in the kernel; at first, 0. */
  spin(microseconds: number): void;
}
