import type { Readable } from 'node:stream';

/** A file to put into a store. */
export interface Content {
  /** In bytes. */
  readonly size: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
  /** MIME type, for stores that record one. */
  readonly type: string;
  /** Opens the bytes from the beginning; called once per attempt. */
  readonly open: () => Promise<Readable>;
}

/** A file that a store returns; `bytes` may end with an error. */
export interface Found {
  /** In bytes; undefined if the store does not report it. */
  readonly size: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/**
 * Files by name. A reader of a name gets all bytes of one `put`, never a part of them. Transient
 * failures are retried according to the RetryPolicy. Methods reject with STORE, including for a
 * name that `isStoreName` rejects.
 */
export interface Store {
  /** The URI of the store, or of a file in it. */
  uri(name?: string): string;
  /** Rejects with STORE if the store checks the bytes and they do not match `sha256`. */
  put(name: string, content: Content): Promise<void>;
  /**
   * Resolves with the result of `use`, or with undefined for a missing file. `use` may stop reading
   * early, and is called again from the beginning if the connection breaks.
   */
  get<T>(name: string, use: (found: Found) => Promise<T>): Promise<T | undefined>;
  /** Resolves even if the file is missing. */
  remove(name: string): Promise<void>;
  /** Names of the top-level folders. The list may be incomplete if there are very many. */
  folders(): Promise<string[]>;
}
