import type { Readable } from 'node:stream';

/** What is put into a store. */
export interface Content {
  /** In bytes. */
  readonly size: number;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
  /** A MIME type, for stores that keep one. */
  readonly type: string;
  /** Its bytes from the beginning; called again for every attempt. */
  readonly open: () => Promise<Readable>;
}

/** What is found in a store; `bytes` may end with an error. */
export interface Found {
  /** As the store says, if it does. */
  readonly size: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

/**
 * RunListing files in one place. Whoever reads a name finds the bytes of one whole `put`, never a part
 * of them. Whatever may pass by itself is tried again, as RetryPolicy says. Methods reject with STORE,
 * naming the place and what to do, for a name that `isStoreName` refuses as well.
 */
export interface Store {
  /** As a URI, also with a name in it. */
  uri(name?: string): string;
  /** Rejects also where the bytes are not those of `sha256`, if the store looks. */
  put(name: string, content: Content): Promise<void>;
  /**
   * What `use` makes of a file; undefined where there is none. `use` is called again from the
   * beginning where the bytes break off, and may stop reading.
   */
  get<T>(name: string, use: (found: Found) => Promise<T>): Promise<T | undefined>;
  /** Also where there is none. */
  remove(name: string): Promise<void>;
  /** Names of the folders right in it, some of them if there are very many. */
  folders(): Promise<string[]>;
}
