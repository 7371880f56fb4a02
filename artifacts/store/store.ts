import type { Readable } from 'node:stream';

/** A file that is put into a store. */
export interface Content {
  /** In bytes. */
  readonly size: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
  /** MIME type, for stores that record one. */
  readonly type: string;
  /** The bytes from the beginning; called once per attempt. */
  readonly open: () => Promise<Readable>;
}

/** A file that a store returns; `bytes` may end with an error. */
export interface Found {
  /** In bytes; undefined if the store does not say. */
  readonly size: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/**
 * Files by name. A reader of a name gets all bytes of one `put`, never a part of them. Transient
 * failures are retried by the RetryPolicy. Methods reject with STORE, also for a name that
 * `isStoreName` refuses.
 */
export interface Store {
  /** The URI of the store, or of a name in it. */
  uri(name?: string): string;
  /** Rejects with STORE where the bytes do not match `sha256`, if the store checks. */
  put(name: string, content: Content): Promise<void>;
  /**
   * Resolves with the result of `use`, undefined for a missing file. `use` is called again from the
   * beginning if the connection breaks, and may stop reading.
   */
  get<T>(name: string, use: (found: Found) => Promise<T>): Promise<T | undefined>;
  /** Resolves also for a missing file. */
  remove(name: string): Promise<void>;
  /** Names of the top-level folders; not all of them where there are very many. */
  folders(): Promise<string[]>;
}
