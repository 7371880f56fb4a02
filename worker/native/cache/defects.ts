import {
  existsSync,
  lstatSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  statSync,
  type Stats,
} from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { z } from 'zod';
import { abandonedLocks } from '../../../bin/lock.mjs';
import { readEntryNow } from '../../../shared/disk/regular-file.ts';
import { ABANDONED_FILE_MILLISECONDS } from '../../../shared/limits.ts';
import { MANIFEST_FILE } from '../engine-manifest.ts';
import { isLibraryName, LIBRARY_FILES } from '../library.ts';
import { pinnedSets } from '../wheels.ts';
import { damageOfContents } from './contents.ts';
import { diskBytes, entryAt, namesIn } from './disk-use.ts';

/** Something in the cache that no version of mnist-dist can use. Removing it loses nothing. */
export interface Defect {
  readonly path: string;
  readonly why: string;
  readonly bytes: number;
}

/** How to examine a cache. */
export interface Examination {
  /** The folder with the library of a working engine. */
  readonly working: string | undefined;
  /** Whether to compare the checksums of the working library as well. */
  readonly isThorough: boolean;
}

type Finding = Omit<Defect, 'bytes'>;

/**
 * Finds everything that can be removed from a cache. Keeps libraries and bindings that another
 * version may use, everything that a link places outside the cache, and everything that does not
 * have the name and the form of something that mnist-dist made, since the cache may be a folder in
 * which the user keeps other files. The checksums of all libraries are compared if no engine works
 * or if `isThorough`.
 */
export function findDefects(cache: string, examination: Examination): readonly Defect[] {
  const libraries = libraryFindings(cache, examination);
  const lost = new Set(libraries.map(({ path }) => path));
  const bindings = bindingFindings(cache, lost);
  return [
    ...wheelFindings(cache),
    ...libraries,
    ...bindings,
    ...linkFindings(cache, new Set(bindings.map(({ path }) => path))),
    ...datasetFindings(cache),
    ...lockFindings(cache),
  ]
    .filter(({ path }) => isInside(cache, path))
    .map((finding) => ({ ...finding, bytes: diskBytes(finding.path) }));
}

/** Wheels are removed once they are unpacked, so any that remain are from an interrupted set-up. */
function wheelFindings(cache: string): Finding[] {
  return pathsIn(join(cache, 'wheels')).flatMap((path): Finding[] => {
    const sets = pinnedSets().filter(({ wheels }) =>
      wheels.some(({ file }) => isNamed(path, file)),
    );
    if (sets.length === 0 || !isFile(entryAt(path))) return [];
    const isDone = sets.every(({ name }) => existsSync(join(cache, 'libraries', name)));
    return isDone ? [{ path, why: 'it is already unpacked' }] : [];
  });
}

function libraryFindings(cache: string, { working, isThorough }: Examination): Finding[] {
  const pinned = pinnedSets().map(({ name }) => name);
  const recorded = manifestsIn(cache).flatMap(({ files }) => files);
  return pathsIn(join(cache, 'libraries')).flatMap((path): Finding[] => {
    if (working !== undefined && dirname(working) === path)
      return isThorough ? workingFindings(path) : [];
    if (!isLibraryName(basename(path)) || !consistsOf(path, LIBRARY_ENTRY)) return [];
    const why =
      lackOf(
        path,
        pinned.some((name) => isNamed(path, name)),
      ) ??
      sizeDamage(path, recorded) ??
      damageOfContents(path, { isThorough: isThorough || working === undefined });
    return why === undefined ? [] : [{ path, why: `the library is incomplete: ${why}` }];
  });
}

/** A working library may lack files that only the compiler or a debugger needs. */
function workingFindings(library: string): Finding[] {
  const why = damageOfContents(library, { isThorough: true, mayLack: true });
  return why === undefined ? [] : [{ path: library, why: `the library is damaged: ${why}` }];
}

/** The first file that a library lacks. A binding needs the headers only while it is compiled. */
function lackOf(library: string, needsHeaders: boolean): string | undefined {
  const header = join('include', 'tensorflow', 'c', 'c_api.h');
  const missing = [...LIBRARY_FILES, ...(needsHeaders ? [header] : [])].find((name) =>
    isMissing(join(library, 'tensorflow', name)),
  );
  return missing === undefined ? undefined : `tensorflow/${missing} is missing`;
}

/** A file of a library whose size differs from the size that each binding recorded. */
function sizeDamage(library: string, recorded: readonly RecordedFile[]): string | undefined {
  const own = recorded.filter(({ path }) => path.startsWith(`${library}${sep}`));
  for (const { path } of own) {
    const sizes = own.filter((each) => each.path === path).map(({ bytes }) => bytes);
    const stat = entryAt(path, statSync);
    if (stat === 'hidden') continue;
    const size = stat?.size ?? 0;
    if (!sizes.includes(size)) return `${path} has ${size} bytes instead of ${sizes.join(' or ')}`;
  }
  return undefined;
}

/**
 * Bindings whose files are missing, either in this cache or where the cache was before it was
 * moved.
 */
function bindingFindings(cache: string, lost: ReadonlySet<string>): Finding[] {
  const manifests = manifestsIn(cache);
  return pathsIn(join(cache, 'bindings')).flatMap((path): Finding[] => {
    if (!KEY.test(basename(path)) || !consistsOf(path, BINDING_ENTRY)) return [];
    if (isDamagedJson(join(path, MANIFEST_FILE)))
      return [{ path, why: `its ${MANIFEST_FILE} is missing or damaged` }];
    const manifest = manifests.find(({ folder }) => folder === path);
    // A later version may write a different manifest.
    if (manifest === undefined) return [];
    const { library, files } = manifest;
    if (lost.has(dirname(library))) return [{ path, why: 'its library is incomplete' }];
    const isMoved = !files.some((file) => dirname(file.path) === path);
    const isOwn = (file: string) => isMoved || file.startsWith(`${cache}${sep}`);
    const gone = files.find((file) => isOwn(file.path) && !hasSize(file));
    if (gone === undefined) return [];
    const why = isMoved ? 'the cache was moved' : `${gone.path} is missing or damaged`;
    return [{ path, why }];
  });
}

/** Links to bindings that no longer exist. */
function linkFindings(cache: string, lost: ReadonlySet<string>): Finding[] {
  return pathsIn(join(cache, 'links'))
    .filter((path) => {
      if (!isBindingLink(path)) return false;
      return isMissing(path) || [...lost].some((folder) => real(path) === real(folder));
    })
    .map((path) => ({ path, why: 'its binding is gone' }));
}

/** Temporary files left by workers that were killed while storing a dataset. */
function datasetFindings(cache: string): Finding[] {
  return pathsIn(join(cache, 'datasets'))
    .filter((path) => {
      const stat = entryAt(path);
      const isTemporary = /[/]\.[0-9a-f]{64}\.[0-9a-f]+\.tmp$/.test(path);
      if (!isTemporary || !isFile(stat)) return false;
      return Date.now() - stat.mtimeMs > ABANDONED_FILE_MILLISECONDS;
    })
    .map((path) => ({ path, why: 'a worker that was killed left it' }));
}

/** Files of a set-up that was interrupted. A repair removes them when it takes the lock over. */
function lockFindings(cache: string): Finding[] {
  return abandonedLocks(join(cache, 'lock')).map((path) => ({
    path,
    why: 'a set-up that was interrupted left it',
  }));
}

// --- what mnist-dist itself makes in a cache

/** Names a binding, or a link to one. */
const KEY = /^[0-9a-f]{16}$/;
/** The entries of a binding's folder, and those of a library's. */
const BINDING_ENTRY = /^(?:manifest\.json|[^.].*\.node)$/;
const LIBRARY_ENTRY = /^(?:tensorflow|nvidia|contents\.json)$/;

/** Whether a folder, which is not a link, contains nothing but such entries. */
function consistsOf(folder: string, entry: RegExp): boolean {
  try {
    return lstatSync(folder).isDirectory() && readdirSync(folder).every((name) => entry.test(name));
  } catch {
    return false;
  }
}

function isBindingLink(path: string): boolean {
  try {
    const target = readlinkSync(path);
    const isToBinding = KEY.test(basename(target)) && basename(dirname(target)) === 'bindings';
    return KEY.test(basename(path)) && isToBinding;
  } catch {
    return false;
  }
}

function isFile(stat: ReturnType<typeof entryAt>): stat is Stats {
  return stat !== undefined && stat !== 'hidden' && stat.isFile();
}

/** Whether there is certainly nothing at the path, or at the end of the link there. */
function isMissing(path: string): boolean {
  return entryAt(path, statSync) === undefined;
}

// --- manifests of any version

const recordedFile = z.object({ path: z.string(), bytes: z.int() });
type RecordedFile = z.infer<typeof recordedFile>;
const anyManifest = z.object({ library: z.string(), files: z.array(recordedFile) });

function manifestsIn(cache: string): (z.infer<typeof anyManifest> & { folder: string })[] {
  return pathsIn(join(cache, 'bindings')).flatMap((folder) => {
    const { data } = anyManifest.safeParse(readJson(join(folder, MANIFEST_FILE)));
    return data === undefined ? [] : [{ ...data, folder }];
  });
}

/** False for a file that this user may not read, and for anything other than a regular file. */
function isDamagedJson(file: string): boolean {
  return readJson(file) === undefined && (isMissing(file) || canRead(file));
}

function canRead(file: string): boolean {
  try {
    return readEntryNow(file).length >= 0;
  } catch {
    return false;
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readEntryNow(file).toString('utf8'));
  } catch {
    return undefined;
  }
}

// --- paths

function pathsIn(folder: string): string[] {
  return namesIn(folder).map((name) => join(folder, name));
}

function isNamed(path: string, name: string): boolean {
  return path.endsWith(`${sep}${name}`);
}

function hasSize({ path, bytes }: RecordedFile): boolean {
  const stat = entryAt(path, statSync);
  return stat === 'hidden' || stat?.size === bytes;
}

/** Whether the folder that contains the path is in the cache after links are resolved. */
function isInside(cache: string, path: string): boolean {
  const folder = real(dirname(path));
  return folder === real(cache) || folder.startsWith(`${real(cache)}${sep}`);
}

function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
