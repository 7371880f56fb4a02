import { statSync } from 'node:fs';
import { basename, dirname } from 'node:path';

/**
 * EMNIST, which is told by the names of its files: "emnist-letters-train-images-idx3-ubyte", or
 * "emnist-letters-train.csv" on Kaggle. All its files have each picture transposed, and the labels
 * of its letters begin with 1.
 */
const EMNIST = /^emnist(?:[-_.](balanced|byclass|bymerge|letters|digits|mnist))?(?![a-z])/i;

const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
const DIGITS = '0123456789';
/** Lower-case letters that look different from their upper case have a class of their own. */
const MERGED = `${DIGITS}${UPPER}abdefghnqrt`;

/** The names of the classes by EMNIST's name for its part, from its label 0, or 1 for letters. */
const names: Readonly<Record<string, string>> = {
  balanced: MERGED,
  byclass: `${DIGITS}${UPPER}${UPPER.toLowerCase()}`,
  bymerge: MERGED,
  letters: UPPER,
  digits: DIGITS,
  mnist: DIGITS,
};

export interface Emnist {
  /** Undefined if the file's name does not say which part of EMNIST it has. */
  readonly classNames: readonly string[] | undefined;
  /** The label of the first class. */
  readonly firstLabel: 0 | 1;
}

/** Undefined unless the name of the file, or its prefix, is one of EMNIST's. */
export function emnistOf(fileName: string): Emnist | undefined {
  const match = EMNIST.exec(fileName);
  if (match === null) return undefined;
  const part = match[1]?.toLowerCase() ?? '';
  const characters = names[part];
  return {
    classNames: characters === undefined ? undefined : Array.from(characters),
    firstLabel: part === 'letters' ? 1 : 0,
  };
}

/**
 * Whether a path that does not exist may be the beginning of the names of EMNIST's files: its
 * archive unpacks to a folder with the files of all parts.
 */
export function isEmnistPrefix(path: string): boolean {
  if (emnistOf(basename(path)) === undefined) return false;
  return statSync(dirname(path), { throwIfNoEntry: false })?.isDirectory() === true;
}
