import { diskError } from '../../shared/disk/whole-file.ts';
import type { Disk, DiskFile } from '../../shared/disk/disk.ts';
import { isFull } from '../../shared/disk/system-error.ts';
import type { Clock } from '../../shared/clock.ts';
import { assert, messageOf, type ClusterError } from '../../shared/errors.ts';
import {
  DISK_RETRY_MILLISECONDS,
  METRICS_FLUSH_BYTES,
  METRICS_FLUSH_MILLISECONDS,
} from '../../shared/limits.ts';

export interface AppendOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  /** Called once, when lines can no longer be written. */
  readonly onError: (error: ClusterError) => void;
  /** Called when the disk becomes full, and when it has space again. */
  readonly onSpace: (isFull: boolean, message: string) => void;
  /** Maximum number of bytes that may be waiting to be written. */
  readonly maxBufferBytes: number;
}

const NOTHING = new Uint8Array(0);

/**
 * A file that grows by whole lines. `append` buffers a line; one write at a time writes all
 * buffered lines in order. `appendNow` writes before it returns. A crash leaves whole lines and at
 * most one torn last line.
 *
 * While the disk is full, lines stay buffered and the write is retried every few seconds. Any other
 * error, or a full buffer, stops all writing: `onError` gets the error, and `sync` and `close`
 * reject.
 */
export class AppendFile {
  readonly path: string;
  readonly #file: DiskFile;
  readonly #options: AppendOptions;
  #lines: string[] = [];
  #characters = 0;
  /** The bytes being written that are not in the file yet. */
  #rest = NOTHING;
  #cancel: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  /** The error of the last write, while the disk is full. */
  #full: unknown;
  #error: ClusterError | undefined;
  #closed = false;

  private constructor(path: string, file: DiskFile, options: AppendOptions) {
    this.path = path;
    this.#file = file;
    this.#options = options;
  }

  static async open(path: string, options: AppendOptions): Promise<AppendFile> {
    try {
      return new AppendFile(path, await options.disk.append(path), options);
    } catch (error) {
      throw diskError(path, error);
    }
  }

  get waitingBytes(): number {
    return this.#characters + this.#rest.length;
  }

  /**
   * Adds a line, including its line feed. The line is written within a second, or once 64 KiB are
   * buffered.
   */
  append(line: string): void {
    if (!this.#buffer(line)) return;
    if (this.#full !== undefined) return;
    if (this.#characters >= METRICS_FLUSH_BYTES) this.#startWriting();
    else this.#schedule(METRICS_FLUSH_MILLISECONDS);
  }

  /** Adds a line and writes it before returning, unless the disk is full. */
  appendNow(line: string): void {
    const isFirst = !this.#isWriting && this.#full === undefined;
    if (!this.#buffer(line) || !isFirst) return;
    try {
      while (this.#takeLines()) this.#arrived(this.#file.writeNow(this.#rest));
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Whether lines are waiting because the disk is full. */
  get isFull(): boolean {
    return this.#full !== undefined;
  }

  /**
   * Resolves when all lines so far are synced. Rejects with DISK, including while the disk is full.
   */
  async sync(): Promise<void> {
    this.#startWriting();
    await this.#writing;
    if (this.#full !== undefined) throw diskError(this.path, this.#full);
    if (this.#error === undefined)
      await this.#file.sync().catch((error: unknown) => this.#fail(error));
    if (this.#error !== undefined) throw this.#error;
  }

  /** Writes and syncs all lines, and closes the file even if that fails. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.sync();
    } finally {
      this.#cancelTimer();
      await this.#file.close().catch((error: unknown) => this.#fail(error));
    }
  }

  /** Buffers a line; returns false if the line is lost. */
  #buffer(line: string): boolean {
    assert(!this.#closed, `${this.path} is open`);
    if (this.#error !== undefined) return false;
    this.#lines.push(line);
    this.#characters += line.length;
    const { maxBufferBytes } = this.#options;
    if (this.#characters + this.#rest.length <= maxBufferBytes) return true;
    const why = this.#full === undefined ? '' : `; ${messageOf(this.#full)}`;
    this.#fail(new Error(`more than ${maxBufferBytes} bytes are waiting to be written${why}`));
    return false;
  }

  #schedule(milliseconds: number): void {
    this.#cancel ??= this.#options.clock.after(milliseconds, () => this.#startWriting());
  }

  #cancelTimer(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #startWriting(): void {
    this.#cancelTimer();
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#writing = this.#writeAll();
  }

  /** Writes until nothing is left or the disk is full; never rejects. */
  async #writeAll(): Promise<void> {
    try {
      while (this.#takeLines()) this.#arrived(await this.#file.write(this.#rest));
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isWriting = false;
    }
  }

  /** Moves the buffered lines into `#rest`; returns false if nothing is left to write. */
  #takeLines(): boolean {
    if (this.#error !== undefined) return false;
    if (this.#rest.length === 0) {
      this.#rest = Buffer.from(this.#lines.join(''));
      this.#lines = [];
      this.#characters = 0;
    }
    return this.#rest.length > 0;
  }

  /** Called after `bytes` bytes have been written; the next write continues after them. */
  #arrived(bytes: number): void {
    if (this.#error !== undefined) return;
    this.#rest = this.#rest.subarray(bytes);
    if (this.#rest.length > 0 || this.#full === undefined) return;
    this.#full = undefined;
    this.#options.onSpace(false, `the disk has space again: writing to ${this.path} resumes`);
  }

  #failed(error: unknown): void {
    if (!isFull(error)) return this.#fail(error);
    const isNews = this.#full === undefined;
    this.#full = error;
    if (!this.#closed) this.#schedule(DISK_RETRY_MILLISECONDS);
    if (isNews)
      this.#options.onSpace(
        true,
        `the disk is full: ${this.path} is waiting for space; retrying every ` +
          `${DISK_RETRY_MILLISECONDS / 1000} s (${messageOf(error)})`,
      );
  }

  #fail(error: unknown): void {
    if (this.#error !== undefined) return;
    this.#error = diskError(this.path, error);
    this.#full = undefined;
    this.#lines = [];
    this.#characters = 0;
    this.#rest = NOTHING;
    this.#cancelTimer();
    this.#options.onError(this.#error);
  }
}
