import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MAX_DATA_ENTRIES, MAX_PICTURES } from '../../limits/dataset.ts';
import { ClusterError, messageOf } from '../../errors.ts';
import { MAX_CLASSES, MAX_NAME_CHARACTERS } from '../../limits.ts';
import { isClassName } from '../class-names.ts';

/** A picture and its class. */
export interface PictureFile {
  readonly path: string;
  readonly label: number;
}

/** The names of the two halves' folders; mnist_png has "training" and "testing". */
export const halfNames = {
  train: ['train', 'training'],
  test: ['test', 'testing'],
} as const;

/** Files that systems add to folders. */
const isHidden = (name: string) =>
  name.startsWith('.') || /^(thumbs\.db|desktop\.ini)$/i.test(name);
const isPicture = (name: string) => /\.(png|jpe?g)$/i.test(name);

/**
 * The names of the classes: those of the folders, in the order of their numbers if all are numbers,
 * and otherwise in that of their characters' codes.
 */
export async function classesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of await namesIn(folder, MAX_DATA_ENTRIES, 'MAX_DATA_ENTRIES')) {
    const path = join(folder, name);
    if (await isFolder(path)) {
      if (!isClassName(name))
        throw refused(
          path,
          'its name is not a class name',
          `use 1 to ${MAX_NAME_CHARACTERS} printable characters`,
        );
      names.push(name);
    } else if (isPicture(name)) {
      throw refused(path, 'it is not in the folder of a class', 'move it into one');
    }
  }
  if (names.length > MAX_CLASSES)
    throw refused(
      folder,
      `it has ${names.length} folders, more than ${MAX_CLASSES} (MAX_CLASSES)`,
      'use fewer classes',
    );
  const areNumbers = names.every((name) => /^\d{1,9}$/.test(name));
  return areNumbers ? names.toSorted((a, b) => Number(a) - Number(b)) : names.toSorted();
}

/**
 * The pictures of one half, by file name and then by class: a dataset in the order of its folders
 * would be sorted by class. Rejects with DATA for a class without pictures or a folder that is not
 * one of the classes, and with LIMIT for too many files.
 */
export async function picturesIn(
  folder: string,
  classNames: readonly string[],
): Promise<PictureFile[]> {
  const found: (PictureFile & { readonly name: string })[] = [];
  for (const name of await classesIn(folder)) {
    const label = classNames.indexOf(name);
    const inner = join(folder, name);
    if (label < 0)
      throw refused(
        inner,
        'it is none of the classes',
        `they are ${classNames.join(', ').slice(0, 200)}`,
      );
    const files = await namesIn(inner, MAX_PICTURES - found.length, 'MAX_PICTURES');
    if (files.length === 0) throw refused(inner, 'it is empty', 'add pictures, or remove it');
    for (const file of files) found.push({ name: file, path: join(inner, file), label });
  }
  return found.toSorted((a, b) =>
    a.name === b.name ? a.label - b.label : a.name < b.name ? -1 : 1,
  );
}

/** The names in a folder that are not hidden. */
async function namesIn(folder: string, most: number, limit: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of await opendir(folder)) {
      if (!isHidden(name)) names.push(name);
      if (names.length > most) break;
    }
  } catch (error) {
    throw refused(folder, `it cannot be read: ${messageOf(error)}`, 'check the folder', error);
  }
  if (names.length <= most) return names;
  throw new ClusterError('LIMIT', `${folder} has more than ${most} files (${limit})`, {
    fix: 'use fewer files',
  });
}

/** Whether a folder has a file whose name is that of a picture. */
export async function hasPictures(folder: string): Promise<boolean> {
  for await (const { name } of await opendir(folder)) if (isPicture(name)) return true;
  return false;
}

export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

function refused(path: string, what: string, fix: string, cause?: unknown): ClusterError {
  const more = cause === undefined ? {} : { cause };
  return new ClusterError('DATA', `${path}: ${what}`, { fix, ...more });
}
