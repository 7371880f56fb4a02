import { constants, writeSync } from 'node:fs';
import { mkdir, open, readdir, rename, rm, rmdir, unlink, type FileHandle } from 'node:fs/promises';
import { isOwnFolder, openEntry, readEntry, type ReadLimit } from './regular-file.ts';
import { systemCode } from './system-error.ts';

/**
 * What a run directory asks of a file system. Every method rejects with the system's error, its
 * code as Node names it; a path whose last part is a link, or neither file nor folder, is refused
 * with DATA where it would be followed (`regular-file.ts`). Nothing outlives a power cut before its
 * sync: bytes with that of their file, names with that of their directory.
 */
export interface Disk {
  /**
   * All bytes of a file; rejects with LIMIT where there are more than the limit, which is that of
   * small files by default.
   */
  read(path: string, limit?: ReadLimit): Promise<Uint8Array>;
  /** At most `length` bytes of a file from `at` on; fewer at its end. */
  readAt(path: string, at: number, length: number): Promise<Uint8Array>;
  /** The number of bytes of a file. */
  size(path: string): Promise<number>;
  /** Cuts a file off after `length` bytes, so that it outlives a power cut. */
  cut(path: string, length: number): Promise<void>;
  /**
   * Whether a folder lies there; false where nothing does. Rejects with DATA for a link or a file.
   */
  isFolder(path: string): Promise<boolean>;
  /** The names in a directory. */
  list(path: string): Promise<string[]>;
  /** The names of the directories in a directory; a link to one is none. */
  folders(path: string): Promise<string[]>;
  /** Opens a directory itself: ENOTDIR where there is anything else, such as a link to one. */
  openFolder(path: string): Promise<DiskFolder>;
  /** Makes a directory in one that exists; EEXIST where there is one. */
  makeDirectory(path: string): Promise<void>;
  /** Removes an empty directory. */
  removeDirectory(path: string): Promise<void>;
  /** Opens a new file; EEXIST where there is one. */
  create(path: string): Promise<DiskFile>;
  /** Opens a file to write at its end, or a new one. */
  append(path: string): Promise<DiskFile>;
  /**
   * Replaces what was called `to`, at once. A directory replaces none or an empty one: EEXIST or
   * ENOTEMPTY where it has files.
   */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file, if it is there. */
  remove(path: string): Promise<void>;
  /** Makes the names in it outlive a power cut; false where the file system cannot do that. */
  syncDirectory(path: string): Promise<boolean>;
}

/** A directory that is open: what takes its place meanwhile is not touched. */
export interface DiskFolder {
  list(): Promise<string[]>;
  /** Removes a file in it, if it is there. */
  remove(name: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * A file that is written at its end. A write may bring fewer bytes than it was given, at least one:
 * it says how many.
 */
export interface DiskFile {
  write(bytes: Uint8Array): Promise<number>;
  /** The same before it returns. */
  writeNow(bytes: Uint8Array): number;
  /** Makes its bytes outlive a power cut. If that fails, nobody can say which of them do. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

const { O_APPEND, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const APPEND_FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK;

/**
 * How file systems, FUSE's and those of networks among them, say that directories cannot be synced.
 */
const NO_DIRECTORY_SYNC: ReadonlySet<string> = new Set([
  'EBADF',
  'EINVAL',
  'ENOSYS',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EROFS',
]);

/** The real one. */
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
  list: (path) => readdir(path),
  folders: async (path) =>
    (await readdir(path, { withFileTypes: true })).flatMap((entry) =>
      entry.isDirectory() ? entry.name : [],
    ),
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

  /** Leads to the directory that is open, whatever has its name now. */
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
