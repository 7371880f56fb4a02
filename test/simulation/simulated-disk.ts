import { dirname, basename } from 'node:path';
import type { Random } from '../fixtures/seeded-random.ts';

/** A file only grows at its end, so a length describes what a power cut leaves of it. */
interface File {
  readonly kind: 'file';
  bytes: Uint8Array;
  /** How many of the bytes survive a power cut. */
  synced: number;
}

interface Directory {
  readonly kind: 'directory';
  /** The names that every process sees. */
  names: Map<string, Node>;
  /** The names when the directory was last synced. */
  synced: Map<string, Node>;
}

type Node = File | Directory;
export type { File as SimulatedFile };

/**
 * A disk behind a cache. Every process sees the latest change. A power cut leaves all synced data
 * and a random part of the rest: a prefix of a file's new bytes, and a name's old or new file. The
 * disk can be full.
 */
export class SimulatedDisk {
  readonly #random: Random;
  readonly #root: Directory = emptyDirectory();
  readonly #inodes = new WeakMap<Node, string>();
  #nextInode = 1;
  /** Bytes that can still be written. */
  #space = Infinity;

  constructor(random: Random) {
    this.#random = random;
  }

  get isFull(): boolean {
    return this.#space < Infinity;
  }

  /** From now on, only `space` more bytes can be written. */
  fill(space: number): void {
    this.#space = space;
  }

  free(): void {
    this.#space = Infinity;
  }

  /**
   * Discards data that is not synced, at random. All processes that use the disk must have ended.
   */
  powerCut(): void {
    this.#cut(this.#root, new Set());
  }

  read(path: string): Uint8Array {
    return this.#file(path).bytes;
  }

  /**
   * The part of a file that is certain to survive a power cut; undefined if the file might not
   * survive.
   */
  durable(path: string): Uint8Array | undefined {
    let node: Node | undefined = this.#root;
    for (const name of namesOf(path))
      node = node?.kind === 'directory' ? node.synced.get(name) : undefined;
    return node?.kind === 'file' ? node.bytes.subarray(0, node.synced) : undefined;
  }

  has(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  isFolder(path: string): boolean {
    return this.#find(path)?.kind === 'directory';
  }

  inode(path: string): string {
    const node = this.#find(path);
    if (node === undefined) throw systemError('ENOENT', path);
    const inode = this.#inodes.get(node) ?? String(this.#nextInode++);
    this.#inodes.set(node, inode);
    return inode;
  }

  list(path: string): string[] {
    return [...this.#directory(path).names.keys()];
  }

  makeDirectory(path: string): void {
    if (this.has(path)) throw systemError('EEXIST', path);
    const { names } = this.#directory(dirname(path));
    this.#needRoom();
    names.set(basename(path), emptyDirectory());
  }

  removeDirectory(path: string): void {
    if (this.#directory(path).names.size > 0) throw systemError('ENOTEMPTY', path);
    this.#directory(dirname(path)).names.delete(basename(path));
  }

  create(path: string): File {
    if (this.has(path)) throw systemError('EEXIST', path);
    const { names } = this.#directory(dirname(path));
    this.#needRoom();
    const file: File = { kind: 'file', bytes: new Uint8Array(0), synced: 0 };
    names.set(basename(path), file);
    return file;
  }

  cut(path: string, length: number): void {
    const file = this.#file(path);
    file.bytes = file.bytes.subarray(0, length);
    file.synced = file.bytes.length;
  }

  append(path: string): File {
    return this.has(path) ? this.#file(path) : this.create(path);
  }

  rename(from: string, to: string): void {
    const node = this.#find(from);
    const target = this.#find(to);
    if (node === undefined) throw systemError('ENOENT', from);
    // If both names refer to the same file, both of them stay.
    if (target === node) return;
    const { names } = this.#directory(dirname(to));
    if (node.kind === 'directory') {
      if (`${to}/`.startsWith(`${from}/`)) throw systemError('EINVAL', to);
      if (target?.kind === 'file') throw systemError('ENOTDIR', to);
      if (target !== undefined && target.names.size > 0) throw systemError('ENOTEMPTY', to);
    } else if (target?.kind === 'directory') throw systemError('EISDIR', to);
    names.set(basename(to), node);
    this.#directory(dirname(from)).names.delete(basename(from));
  }

  remove(path: string): void {
    if (this.has(path)) this.#directory(dirname(path)).names.delete(basename(path));
  }

  /**
   * Lists and removes names in this directory, even if a different directory takes over its name
   * later.
   */
  openFolder(path: string): { list(): string[]; remove(name: string): void } {
    const { names } = this.#directory(path);
    return {
      list: () => [...names.keys()],
      remove: (name) => {
        if (names.get(name)?.kind === 'directory') throw systemError('EISDIR', name);
        names.delete(name);
      },
    };
  }

  syncDirectory(path: string): void {
    const directory = this.#directory(path);
    directory.synced = new Map(directory.names);
  }

  /** Writes all the bytes, or only some: when space runs out, and at random. */
  write(file: File, bytes: Uint8Array): number {
    const some = this.#random.chance(0.1) ? 1 + this.#random.below(bytes.length) : bytes.length;
    const written = Math.min(some, this.#space);
    if (written === 0) throw systemError('ENOSPC', 'a write');
    this.#space -= written;
    file.bytes = Buffer.concat([file.bytes, bytes.subarray(0, written)]);
    return written;
  }

  syncFile(file: File): void {
    file.synced = file.bytes.length;
  }

  #needRoom(): void {
    if (this.isFull && this.#random.chance(0.5)) throw systemError('ENOSPC', 'a name');
  }

  #cut(directory: Directory, seen: Set<Node>): void {
    for (const name of new Set([...directory.synced.keys(), ...directory.names.keys()])) {
      const [before, now] = [directory.synced.get(name), directory.names.get(name)];
      const left = before === now || this.#random.chance(0.5) ? now : before;
      if (left === undefined) directory.names.delete(name);
      else directory.names.set(name, left);
      if (left === undefined || seen.has(left)) continue;
      seen.add(left);
      if (left.kind === 'directory') this.#cut(left, seen);
      else this.#tear(left);
    }
    directory.synced = new Map(directory.names);
  }

  #tear(file: File): void {
    const unsynced = file.bytes.length - file.synced;
    const left = this.#random.chance(0.3) ? 0 : this.#random.below(unsynced + 1);
    file.bytes = file.bytes.subarray(0, file.synced + left);
    file.synced = file.bytes.length;
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root;
    for (const name of namesOf(path))
      node = node?.kind === 'directory' ? node.names.get(name) : undefined;
    return node;
  }

  #file(path: string): File {
    const node = this.#find(path);
    if (node?.kind === 'file') return node;
    throw systemError(node === undefined ? 'ENOENT' : 'EISDIR', path);
  }

  #directory(path: string): Directory {
    const node = this.#find(path);
    if (node?.kind === 'directory') return node;
    throw systemError(node === undefined ? 'ENOENT' : 'ENOTDIR', path);
  }
}

function emptyDirectory(): Directory {
  return { kind: 'directory', names: new Map(), synced: new Map() };
}

function namesOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
