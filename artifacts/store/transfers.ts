import type { ManifestEntry } from './manifest.ts';

/** The outcome for a file. `there` means that the destination already had it. */
export type TransferResult = 'sent' | 'fetched' | 'there';

/** The progress of a push or a pull; `allFiles` and `allBytes` are the totals. */
export interface Progress {
  readonly name: string;
  readonly done: TransferResult;
  readonly files: number;
  readonly bytes: number;
  readonly allFiles: number;
  readonly allBytes: number;
}

export type OnProgress = (progress: Progress) => void;

/** Totals of all files, and of those that had to be transferred. */
export interface TransferTotals {
  readonly files: number;
  readonly bytes: number;
  readonly moved: number;
  readonly movedBytes: number;
}

/** Counts the files of a run as they are transferred. */
export class TransferProgress {
  readonly #all: { readonly files: number; readonly bytes: number };
  readonly #onProgress: OnProgress;
  #files = 0;
  #bytes = 0;
  #moved = 0;
  #movedBytes = 0;

  constructor(entries: readonly ManifestEntry[], onProgress: OnProgress) {
    this.#all = { files: entries.length, bytes: entries.reduce((sum, { size }) => sum + size, 0) };
    this.#onProgress = onProgress;
  }

  done({ name, size }: ManifestEntry, done: TransferResult): void {
    this.#files += 1;
    this.#bytes += size;
    if (done !== 'there') {
      this.#moved += 1;
      this.#movedBytes += size;
    }
    const { files: allFiles, bytes: allBytes } = this.#all;
    this.#onProgress({ name, done, files: this.#files, bytes: this.#bytes, allFiles, allBytes });
  }

  totals(): TransferTotals {
    return { ...this.#all, moved: this.#moved, movedBytes: this.#movedBytes };
  }
}

/**
 * Runs `task` for every item, at most `limit` at a time. After a failure it starts no further
 * tasks, waits for the running ones, and rejects with the first failure.
 */
export async function inParallel<T>(
  items: readonly T[],
  limit: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  const left = items.values();
  const work = async (): Promise<void> => {
    for (const item of left) {
      if (failures.length > 0) return;
      await task(item).catch((error: unknown) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work));
  if (failures.length > 0) throw failures[0];
}
