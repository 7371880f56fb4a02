import { constants, writeSync } from 'node:fs';
import {
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  rmdir,
  unlink,
  type FileHandle,
} from 'node:fs/promises';
import { isOwnFolder, openEntry, readEntry, type ReadLimit } from './regular-file.ts';
import { systemCode } from './system-error.ts';

/**
 * The file-system operations that a run directory needs. Every method rejects with Node's system
 * error, including its code. If the last component of a path is a link, or is neither a file nor a
 * folder, a method that would follow it rejects with DATA (regular-file.ts). Only synced data is
 * guaranteed to survive a power cut: syncing a file covers its bytes, and syncing a directory
 * covers the names in it.
 */
export interface Disk {
  /**
   * Reads a whole file. Rejects with LIMIT if the file exceeds the limit, which by default is the
   * one for small files.
   */
  read(path: string, limit?: ReadLimit): Promise<Uint8Array>;
  /** Reads `length` bytes of a file from offset `at`, or fewer at the end of the file. */
  readAt(path: string, at: number, length: number): Promise<Uint8Array>;
  /** The size of a file in bytes. */
  size(path: string): Promise<number>;
  /** Truncates a file to `length` bytes and syncs it. */
  cut(path: string, length: number): Promise<void>;
  /**
   * Whether a folder exists at the path; false if nothing exists there. Rejects with DATA for a
   * link or a file.
   */
  isFolder(path: string): Promise<boolean>;
  /** The inode number of a file or folder. A copy has a different number. */
  inode(path: string): Promise<string>;
  /** The names in a directory. */
  list(path: string): Promise<string[]>;
  /** Opens a directory. Rejects with ENOTDIR for anything else, such as a link to a directory. */
  openFolder(path: string): Promise<DiskFolder>;
  /** Creates a directory, whose parent must exist. Rejects with EEXIST if the name exists. */
  makeDirectory(path: string): Promise<void>;
  /** Removes an empty directory. */
  removeDirectory(path: string): Promise<void>;
  /** Creates a file. Rejects with EEXIST if the name exists. */
  create(path: string): Promise<DiskFile>;
  /** Opens or creates a file for appending. */
  append(path: string): Promise<DiskFile>;
  /**
   * Renames a file or a directory, and replaces `to` atomically. A directory can replace only an
   * empty directory; otherwise the method rejects with EEXIST or ENOTEMPTY.
   */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, if it exists. */
  remove(path: string): Promise<void>;
  /** Syncs the names in a directory. Resolves to false if the file system cannot do that. */
  syncDirectory(path: string): Promise<boolean>;
}

/** An open directory. Its methods never affect another directory that has taken its name. */
export interface DiskFolder {
  list(): Promise<string[]>;
  /** Removes a file in it, if it exists. */
  remove(name: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * A file that is open for appending. A write may write fewer bytes than it is given, but at least
 * one, and returns how many it wrote.
 */
export interface DiskFile {
  write(bytes: Uint8Array): Promise<number>;
  /** Like `write`, but synchronous. */
  writeNow(bytes: Uint8Array): number;
  /** Syncs the bytes. After a failure, it is unknown which bytes would survive a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const APPEND_FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK;

/**
 * The errors with which file systems (FUSE and network file systems among them) report that they
 * cannot sync directories.
 */
const NO_DIRECTORY_SYNC: ReadonlySet<string> = new Set([
  'EBADF',
  'EINVAL',
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EROFS',
]);

/** The file system of this machine. */
export const systemDisk: Disk = {
  read: readEntry,
  async readAt(path, at, length) {
    const { handle } = await openEntry(path);
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, at);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  },
  async size(path) {
    const { handle, size } = await openEntry(path);
    await handle.close();
    return size;
  },
  async cut(path, length) {
    const handle = await open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      await handle.truncate(length);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  },
  isFolder: (path) => isOwnFolder(path),
  inode: async (path) => String((await lstat(path, { bigint: true })).ino),
  list: (path) => readdir(path),
  openFolder: async (path) =>
    new SystemFolder(await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)),
  makeDirectory: (path) => mkdir(path),
  removeDirectory: (path) => rmdir(path),
  create: async (path) => new SystemFile(await open(path, 'wx')),
  append: async (path) => new SystemFile(await open(path, APPEND_FLAGS)),
  rename,
  remove: (path) => rm(path, { force: true }),
  async syncDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
      return true;
    } catch (error) {
      if (NO_DIRECTORY_SYNC.has(systemCode(error) ?? '')) return false;
      throw error;
    } finally {
      await directory.close();
    }
  },
};

class SystemFolder implements DiskFolder {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  list(): Promise<string[]> {
    return readdir(this.#path);
  }

  async remove(name: string): Promise<void> {
    try {
      await unlink(`${this.#path}/${name}`);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw error;
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  /** The path of the open directory, independent of its name. */
  get #path(): string {
    return `/proc/self/fd/${this.#handle.fd}`;
  }
}

class SystemFile implements DiskFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async write(bytes: Uint8Array): Promise<number> {
    const { bytesWritten } = await this.#handle.write(bytes);
    return bytesWritten;
  }

  writeNow(bytes: Uint8Array): number {
    return writeSync(this.#handle.fd, bytes);
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}
