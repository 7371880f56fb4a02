import type { Clock } from '../../shared/clock.ts';
import { isFull } from '../../shared/disk/system-error.ts';
import { ClusterError } from '../../shared/errors.ts';
import { DISK_RETRY_MILLISECONDS } from '../../shared/limits.ts';

/** Repeats a write while the disk is full. */
export class SpaceWait {
  readonly #after: Clock['after'];
  #isClosed = false;
  #endPause: () => void = () => undefined;

  constructor(after: Clock['after']) {
    this.#after = after;
  }

  /**
   * Calls `write` until it succeeds; `told` is called once if the disk is full. Rejects with any
   * other error, and with DISK if the disk is full when this is closed.
   */
  async write(
    write: () => Promise<void>,
    told: (message: string, error: ClusterError) => void,
  ): Promise<void> {
    for (let isNews = true; ; isNews = false) {
      try {
        return await write();
      } catch (error) {
        if (!(error instanceof ClusterError) || !isFull(error.cause) || this.#isClosed) throw error;
        if (isNews) told(`retrying every ${DISK_RETRY_MILLISECONDS / 1000} s`, error);
        await this.#pause();
      }
    }
  }

  /** Ends the wait. */
  close(): void {
    this.#isClosed = true;
    this.#endPause();
  }

  async #pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      const cancel = this.#after(DISK_RETRY_MILLISECONDS, resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
    });
  }
}
