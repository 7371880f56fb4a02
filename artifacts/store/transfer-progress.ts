import type { Entry } from './manifest.ts';

/** What was done with a file. */
export type Done = 'sent' | 'fetched' | 'there';

/** How far a push or a pull is. */
export interface Progress {
  readonly name: string;
  readonly done: Done;
  readonly files: number;
  readonly bytes: number;
  readonly allFiles: number;
  readonly allBytes: number;
}

export type OnProgress = (progress: Progress) => void;

/** Of all files, and of those that had to be moved. */
export interface Counted {
  readonly files: number;
  readonly bytes: number;
  readonly moved: number;
  readonly movedBytes: number;
}

/** Adds up what is done with the files of a run. */
export class Tally {
  readonly #all: { readonly files: number; readonly bytes: number };
  readonly #onProgress: OnProgress;
  #files = 0;
  #bytes = 0;
  #moved = 0;
  #movedBytes = 0;

  constructor(entries: readonly Entry[], onProgress: OnProgress) {
    this.#all = { files: entries.length, bytes: entries.reduce((sum, { size }) => sum + size, 0) };
    this.#onProgress = onProgress;
  }

  done({ name, size }: Entry, done: Done): void {
    this.#files += 1;
    this.#bytes += size;
    if (done !== 'there') {
      this.#moved += 1;
      this.#movedBytes += size;
    }
    const { files: allFiles, bytes: allBytes } = this.#all;
    this.#onProgress({ name, done, files: this.#files, bytes: this.#bytes, allFiles, allBytes });
  }

  counted(): Counted {
    return { ...this.#all, moved: this.#moved, movedBytes: this.#movedBytes };
  }
}
