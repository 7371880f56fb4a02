import { open, type FileHandle } from 'node:fs/promises';
import type { ClusterError } from '../shared/errors.ts';
import { assert } from '../shared/errors.ts';
import {
  MAX_METRICS_BUFFER_BYTES,
  METRICS_FLUSH_BYTES,
  METRICS_FLUSH_MILLISECONDS,
} from '../shared/limits.ts';
import { diskError } from '../data/whole-file.ts';

/**
 * A file that grows by whole lines, off the caller's path: `append` only remembers, and one write at a time carries all
 * that was remembered, in order. A crash leaves whole lines and at most one torn last line.
 *
 * The first error ends the writing: it is told to `onError` at once, and `sync` and `close` reject with it.
 */
export class AppendFile {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #onError: (error: ClusterError) => void;
  #lines: string[] = [];
  #characters = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #error: ClusterError | undefined;
  #closed = false;

  constructor(path: string, file: FileHandle, onError: (error: ClusterError) => void) {
    this.path = path;
    this.#file = file;
    this.#onError = onError;
  }

  static async open(path: string, onError: (error: ClusterError) => void): Promise<AppendFile> {
    try {
      return new AppendFile(path, await open(path, 'a'), onError);
    } catch (error) {
      throw diskError(path, error);
    }
  }

  /** Adds a line that ends with its line feed. It is written within a second, or with the next 64 KiB. */
  append(line: string): void {
    assert(!this.#closed, `${this.path} is open`);
    if (this.#error !== undefined) return;
    this.#lines.push(line);
    this.#characters += line.length;
    if (this.#characters > MAX_METRICS_BUFFER_BYTES) {
      this.#fail(
        new Error(`${MAX_METRICS_BUFFER_BYTES} bytes are waiting to be written (MAX_METRICS_BUFFER_BYTES)`),
      );
    } else if (this.#characters >= METRICS_FLUSH_BYTES) {
      this.#startWriting();
    } else {
      this.#timer ??= setTimeout(() => this.#startWriting(), METRICS_FLUSH_MILLISECONDS);
    }
  }

  /** Resolves when all lines appended so far are on the disk. */
  async sync(): Promise<void> {
    this.#startWriting();
    await this.#writing;
    if (this.#error === undefined) await this.#file.datasync().catch((error: unknown) => this.#fail(error));
    if (this.#error !== undefined) throw this.#error;
  }

  /** Writes, syncs and closes; the file is closed even if that fails. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.sync();
    } finally {
      await this.#file.close().catch((error: unknown) => this.#fail(error));
    }
  }

  #startWriting(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#writing = this.#writeAll();
  }

  /** Goes on until nothing is left; never rejects. */
  async #writeAll(): Promise<void> {
    try {
      while (this.#lines.length > 0 && this.#error === undefined) {
        const text = this.#lines.join('');
        this.#lines = [];
        this.#characters = 0;
        // appendFile writes on after a partial write.
        await this.#file.appendFile(text);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isWriting = false;
    }
  }

  #fail(error: unknown): void {
    if (this.#error !== undefined) return;
    this.#error = diskError(this.path, error);
    this.#lines = [];
    this.#characters = 0;
    clearTimeout(this.#timer);
    this.#onError(this.#error);
  }
}
