import type { Tensor } from '../../shared/wire/frame.ts';
import type { ResultMessage, WorkerMessage } from '../../shared/wire/messages.ts';
import type { MemoryAddress, PeerMemory } from '../../shared/wire/shared-memory.ts';
import type { WeightsMessage } from '../decisions/effects.ts';

/** Opens a worker's shared memory; undefined when it is out of reach from here. */
export type OpenMemory = (address: MemoryAddress) => PeerMemory | undefined;

/** Weights that the worker may still be reading in shared memory. */
interface Unread {
  readonly order: number;
  readonly release: () => void;
}

/** The coordinator's end of the memory it shares with a worker on its host, for one connection. */
export class WorkerMemory {
  readonly #open: OpenMemory;
  #memory: PeerMemory | undefined;
  #unread: Unread[] = [];

  constructor(open: OpenMemory) {
    this.#open = open;
  }

  /** Whether weights travel through memory, too: only where the worker's is in reach. */
  get isShared(): boolean {
    return this.#memory !== undefined;
  }

  /**
   * The worker was pointed to these weights: they are released once it has read them, or is gone.
   */
  point({ kind, step }: WeightsMessage, release: () => void): void {
    this.#unread.push({ order: orderOf({ kind, step }), release });
  }

  tensor(room: number, checksum: bigint): Tensor | undefined {
    return this.#memory?.tensor(room, checksum);
  }

  /**
   * A worker that has computed with weights has read them; one that is ready says where its memory
   * is.
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

/** Steps and evaluations in the order in which they happen. */
function orderOf({ kind, step }: Pick<WeightsMessage | ResultMessage, 'kind' | 'step'>): number {
  return kind === 'step' || kind === 'gradient' ? 2 * step : 2 * step + 1;
}
