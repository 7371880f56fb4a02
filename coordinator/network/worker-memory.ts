import type { Tensor } from '../../shared/wire/frame.ts';
import type { ResultMessage, WorkerMessage } from '../../shared/wire/messages.ts';
import type { MappedMemory } from '../../shared/wire/memory-addon.ts';
import type { MemoryAddress, PeerMemory } from '../../shared/wire/shared-memory.ts';
import { taskKindOf, taskOrder } from '../../shared/wire/task-order.ts';
import type { WeightsMessage } from '../decisions/effects.ts';

/** Opens a worker's shared memory; returns undefined if this process cannot reach it. */
export type OpenMemory = (address: MemoryAddress) => PeerMemory | undefined;

/** Weights that the worker may still be reading in shared memory. */
interface Unread {
  readonly order: number;
  readonly release: () => void;
}

/** The coordinator's side of the memory that it shares with one worker on its host. */
export class WorkerMemory {
  readonly #open: OpenMemory;
  #memory: PeerMemory | undefined;
  #unread: Unread[] = [];

  constructor(open: OpenMemory) {
    this.#open = open;
  }

  /** Whether weights are sent through shared memory: only if the worker's memory can be reached. */
  get isShared(): boolean {
    return this.#memory !== undefined;
  }

  /** The worker's memory as the addon maps it, if it does. */
  get mapped(): MappedMemory | undefined {
    return this.#memory?.mapped;
  }

  /**
   * Called after a pointer to weights was sent to the worker; releases the weights once the worker
   * has read them or has left.
   */
  point(message: WeightsMessage, release: () => void): void {
    this.#unread.push({ order: orderOf(message), release });
  }

  tensor(buffer: number, checksum: bigint): Tensor | undefined {
    return this.#memory?.tensor(buffer, checksum);
  }

  /**
   * A result shows that the worker has read its weights; `ready` contains the address of its
   * memory.
   */
  heard(message: WorkerMessage): void {
    if (message.kind === 'gradient' || message.kind === 'predictions')
      this.#releaseUntil(orderOf(message));
    if (message.kind === 'ready' && message.memory !== undefined)
      this.#memory ??= this.#open(message.memory);
  }

  close(): void {
    this.#releaseUntil(Infinity);
    this.#memory?.close();
    this.#memory = undefined;
  }

  #releaseUntil(order: number): void {
    while (this.#unread[0] !== undefined && this.#unread[0].order <= order)
      this.#unread.shift()?.release();
  }
}

/** When the task of a message comes. */
function orderOf(message: WeightsMessage | ResultMessage): number {
  return taskOrder(taskKindOf(message), message.step);
}
