import { join } from 'node:path';
import { systemDisk, type Disk, type DiskFile } from '../../shared/disk/disk.ts';
import { isFull } from '../../shared/disk/system-error.ts';
import { makeOwnFolder } from '../../shared/disk/whole-file.ts';
import { messageOf } from '../../shared/errors.ts';
import { DISK_RETRY_MILLISECONDS } from '../../shared/limits.ts';
import {
  EVENT_FLUSH_BYTES,
  EVENT_FLUSH_MILLISECONDS,
  MAX_EVENT_QUEUE_BYTES,
} from '../../shared/limits/tracker.ts';
import type { Tell } from './tracker.ts';

export interface EventFileOptions {
  /** Creates the name of the file, given those of the files in its folder. */
  readonly nameAfter: (names: readonly string[]) => string;
  readonly tell: Tell;
  readonly disk?: Disk;
}

/**
 * A file of records that is written in the background. Records wait in a queue of limited size;
 * what does not fit, for example while the disk is full, is left out. An error is told once, and
 * never thrown.
 */
export class EventFile {
  readonly folder: string;
  readonly #options: EventFileOptions;
  readonly #disk: Disk;
  #file: DiskFile | undefined;
  #records: Uint8Array[] = [];
  #queuedBytes = 0;
  /** The bytes of whole records that are being written. */
  #rest: Uint8Array = new Uint8Array(0);
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  #hasFailed = false;
  #isClosed = false;
  #leftOut = 0;

  /** Creates the folder and the file with the first write. */
  constructor(folder: string, options: EventFileOptions) {
    this.folder = folder;
    this.#options = options;
    this.#disk = options.disk ?? systemDisk;
  }

  append(record: Uint8Array): void {
    if (this.#hasFailed || this.#isClosed) return;
    if (this.#queuedBytes + record.length > MAX_EVENT_QUEUE_BYTES) {
      this.#leftOut += 1;
      return;
    }
    this.#records.push(record);
    this.#queuedBytes += record.length;
    if (this.#queuedBytes >= EVENT_FLUSH_BYTES && this.#rest.length === 0) void this.flush();
    else this.#schedule(EVENT_FLUSH_MILLISECONDS);
  }

  /** Writes the waiting records, unless a write is under way. Does not reject. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Writes what waits, once, and closes the file. Does not reject. */
  async close(): Promise<void> {
    await this.#writing;
    await this.flush();
    clearTimeout(this.#timer);
    this.#isClosed = true;
    await this.#file?.close().catch((error: unknown) => this.#fail(error));
    const { tell } = this.#options;
    if (this.#hasFailed) return;
    if (this.#queuedBytes + this.#rest.length > 0)
      tell('warn', `the end of the event file in ${this.folder} is missing: the disk is full`);
    else if (this.#leftOut > 0)
      tell('warn', `the event file in ${this.folder} lacks ${this.#leftOut} records`);
  }

  #schedule(milliseconds: number): void {
    // An error leaves a timer with a longer interval.
    this.#timer ??= setTimeout(() => void this.flush(), milliseconds).unref();
  }

  async #write(): Promise<void> {
    const wasFull = this.#rest.length > 0;
    try {
      const file = (this.#file ??= await this.#open());
      for (;;) {
        if (this.#rest.length === 0) {
          this.#rest = Buffer.concat(this.#records);
          this.#records = [];
          this.#queuedBytes = 0;
        }
        if (this.#rest.length === 0) return;
        // A record that has been written in part continues after a retry.
        while (this.#rest.length > 0)
          this.#rest = this.#rest.subarray(await file.write(this.#rest));
      }
    } catch (error) {
      if (!isFull(error) || this.#file === undefined) return this.#fail(error);
      if (!wasFull)
        this.#options.tell(
          'warn',
          `the disk is full: the event file in ${this.folder} waits for space ` +
            `(${messageOf(error)})`,
        );
      if (!this.#isClosed) this.#schedule(DISK_RETRY_MILLISECONDS);
    }
  }

  async #open(): Promise<DiskFile> {
    await makeOwnFolder(this.folder, this.#disk);
    const name = this.#options.nameAfter(await this.#disk.list(this.folder));
    return await this.#disk.create(join(this.folder, name));
  }

  #fail(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    this.#records = [];
    this.#rest = new Uint8Array(0);
    this.#queuedBytes = 0;
    this.#options.tell(
      'warn',
      `no longer writing event files to ${this.folder}; training continues: ${messageOf(error)}`,
    );
  }
}
