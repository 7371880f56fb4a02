import type { Random } from '../fixtures/seeded-random.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface WireEnd {
  receive(frame: Buffer): void;
  closed(code: number, reason: string): void;
}

export type Side = 'worker' | 'coordinator';

/** The code that a socket reports for a connection that was cut. */
export const ABNORMAL_CLOSE = 1006;

interface Direction {
  /** When the last frame arrives. Frames that are sent later arrive later. */
  last: number;
  /** Half-open: nothing arrives any more, and neither end notices. */
  silent: boolean;
  milliseconds: number;
}

/**
 * One connection: frames arrive in order, after a delay, whole or not at all. It can be closed by
 * either end, cut so that both ends learn of it, or become silent in one or both directions.
 */
export class Wire {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #ends = new Map<Side, WireEnd>();
  readonly #towards: Readonly<Record<Side, Direction>>;
  readonly #unsent = new Set<() => void>();
  #isOpen = true;

  constructor(time: VirtualTime, random: Random, milliseconds: number) {
    this.#time = time;
    this.#random = random;
    const direction = (): Direction => ({ last: 0, silent: false, milliseconds });
    this.#towards = { worker: direction(), coordinator: direction() };
  }

  attach(side: Side, end: WireEnd): void {
    this.#ends.set(side, end);
  }

  /** `sent` is called when the frame has left the sender's buffers, or never will. */
  send(to: Side, frame: Buffer, sent: () => void = () => undefined): void {
    if (!this.#isOpen) return sent();
    this.#unsent.add(sent);
    const direction = this.#towards[to];
    if (direction.silent) return;
    this.#deliver(direction, () => {
      // The bytes are copied only now, which exposes a sender that changes them before `sent`.
      const arrived = Buffer.from(frame);
      if (this.#unsent.delete(sent)) sent();
      if (this.#isOpen && !direction.silent) this.#ends.get(to)?.receive(arrived);
    });
  }

  /**
   * Closes the connection from one end. The other end learns of it after everything that was sent
   * earlier.
   */
  close(by: Side, code: number, reason: string): void {
    if (!this.#isOpen) return;
    const other = by === 'worker' ? 'coordinator' : 'worker';
    const direction = this.#towards[other];
    this.#flush();
    if (direction.silent) return;
    this.#deliver(direction, () => {
      this.#isOpen = false;
      this.#ends.get(other)?.closed(code, reason);
    });
  }

  /** Cuts the connection: both ends learn of it, unless their direction is silent. */
  cut(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#flush();
    for (const side of ['worker', 'coordinator'] as const) {
      if (!this.#towards[side].silent)
        this.#deliver(this.#towards[side], () => this.#ends.get(side)?.closed(ABNORMAL_CLOSE, ''));
    }
  }

  /** From now on, nothing arrives at `side`. */
  silence(side: Side): void {
    this.#towards[side].silent = true;
  }

  slow(milliseconds: number): void {
    this.#towards.worker.milliseconds = milliseconds;
    this.#towards.coordinator.milliseconds = milliseconds;
  }

  #deliver(direction: Direction, task: () => void): void {
    const now = this.#time.now();
    direction.last = Math.max(
      direction.last,
      now + this.#random.between(0, direction.milliseconds),
    );
    this.#time.after(direction.last - now, task);
  }

  #flush(): void {
    for (const sent of this.#unsent) sent();
    this.#unsent.clear();
  }
}
