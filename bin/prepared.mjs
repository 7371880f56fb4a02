import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readText } from './files.mjs';

/**
 * Whether everything is installed and built. Every start asks this, so this file imports only
 * modules that Node has already loaded; bootstrap.mjs does the work if something is missing.
 */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const dist = join(root, 'dist');
const settings = ['tsconfig.json', 'npm-shrinkwrap.json', 'package.json'];

/** An error with a fix, printed without a stack trace. */
export class SetupError extends Error {
  constructor(message, fix) {
    super(message);
    this.fix = fix;
  }
}

/** Throws SetupError if a file of the clone is damaged or cannot be read. */
export function isPrepared() {
  return isPackage() ? hasDist() : isInstalled() && isBuilt();
}

/** Whether this is an installed package: it has the build, but no sources. */
export function isPackage() {
  return !existsSync(join(root, 'tsconfig.json'));
}

/** Whether there is a build, which may be outdated. */
export function hasDist() {
  return existsSync(join(dist, 'cli', 'start.js'));
}

// --- npm packages

export function lockDigest() {
  const text = examine('npm-shrinkwrap.json', (path) => readFileSync(path));
  return createHash('sha256').update(text).digest('hex');
}

export function stampFile() {
  return join(root, 'node_modules', '.mnist-dist-stamp');
}

export function isInstalled() {
  const digest = lockDigest();
  if (readText(stampFile()) === digest) return true;
  if (!isInstalledByHand()) return false;
  try {
    writeFileSync(stampFile(), digest);
  } catch {
    // Without write permission or free space, the packages are compared again at the next start.
  }
  return true;
}

/**
 * Whether npm's own record, which it writes once an installation is complete, lists every package
 * in the lock file.
 */
function isInstalledByHand() {
  const installed = npmRecord()?.packages;
  if (typeof installed !== 'object' || installed === null) return false;
  const wanted = examine('npm-shrinkwrap.json', (path) =>
    Object.entries(JSON.parse(readFileSync(path, 'utf8')).packages),
  );
  return wanted.every(
    ([path, { version, optional }]) =>
      path === '' || optional || installed[path]?.version === version,
  );
}

/** npm's record; undefined if it is missing, or was only partly written. */
function npmRecord() {
  try {
    return JSON.parse(readText(join(root, 'node_modules', '.package-lock.json')));
  } catch {
    return undefined;
  }
}

// --- the build

export function isBuilt() {
  return readText(join(dist, '.stamp')) === sourcesDigest();
}

/**
 * Digest of every source's path, modification time and size. It is cheap to compute, and every edit
 * and checkout changes it.
 */
export function sourcesDigest() {
  // The folders that tsconfig.json includes also contain the kernels and the page, which are
  // compiled separately.
  const folders = examine('tsconfig.json', (path) => {
    const { include } = JSON.parse(readFileSync(path, 'utf8'));
    return new Set(include.map((entry) => entry.split('/')[0]));
  });
  const lines = [...settings, ...[...folders].flatMap(filesBelow)].map((path) => {
    // A dangling link, such as an editor's lock file, has no status.
    const stat = examine(path, (file) => statSync(file, { throwIfNoEntry: false }));
    const { mtimeMs, size } = stat ?? {};
    return `${path} ${mtimeMs} ${size}\n`;
  });
  return createHash('sha256').update(lines.toSorted().join('')).digest('hex');
}

function filesBelow(folder) {
  if (!existsSync(`${root}/${folder}`)) return [];
  const entries = examine(folder, (path) => readdirSync(path, { withFileTypes: true }));
  return entries.flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

// --- helpers

/** Calls `look` with the path of a file or folder of the clone. Throws SetupError if it throws. */
function examine(name, look) {
  const path = `${root}/${name}`;
  try {
    return look(path);
  } catch (error) {
    const where = process.cwd() === root ? '' : `-C ${quoted(root)} `;
    const isForbidden = error.code === 'EACCES' || error.code === 'EPERM';
    throw new SetupError(
      `${path} is damaged or cannot be read: ${error.message}`,
      isForbidden ? `make it readable: ${path}` : `restore it: git ${where}checkout ${name}`,
    );
  }
}

/** A word for a shell. */
export function quoted(word) {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
