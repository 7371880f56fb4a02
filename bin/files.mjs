import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { codeOf } from './owner.mjs';

/**
 * Reads files and creates folders where others may have planted something else. This is plain
 * JavaScript because it is needed before the build; shared/disk/regular-file.ts reads all other
 * files.
 */

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
const MAX_BYTES = 64 * 1024 ** 2;

/**
 * The text of a regular file. Returns undefined if there is none, or if it cannot be read. Neither
 * follows a link to a file, nor waits for a pipe, nor reads a device or more than 64 MiB.
 * @param {string} file
 * @returns {string | undefined}
 */
export function readText(file) {
  /** @type {number | undefined} */
  let descriptor;
  try {
    descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const stat = fstatSync(descriptor);
    if (!stat.isFile() || stat.size > MAX_BYTES) return undefined;
    // The file may grow meanwhile; bytes beyond its size are not read.
    const bytes = Buffer.alloc(stat.size);
    let length = 0;
    for (let count = -1; count !== 0 && length < bytes.length; length += count)
      count = readSync(descriptor, bytes, length, bytes.length - length, length);
    return bytes.toString('utf8', 0, length);
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/**
 * Creates a folder and those above it that are missing. Throws the first error. Node's recursive
 * mkdir never returns where the file system reports ENOENT for a new folder in an existing one, as
 * in /proc.
 * @param {string} path
 * @param {number} [mode] of each new folder
 */
export function makeFolders(path, mode) {
  const missing = [];
  const target = resolve(path);
  let at = target;
  for (; !isFolder(at) && dirname(at) !== at; at = dirname(at)) missing.push(at);
  for (const folder of missing.toReversed()) {
    try {
      mkdirSync(folder, { mode });
    } catch (error) {
      // Another process may have created it since. If it is not a folder, the next one cannot be
      // created, and its error says why.
      const isThere = isFolder(folder) || (codeOf(error) === 'EEXIST' && folder !== target);
      if (!isThere) throw error;
    }
  }
}

/** @param {string} path */
function isFolder(path) {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
