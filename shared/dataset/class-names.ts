import { ClusterError } from '../errors.ts';
import { MAX_CLASSES, MAX_NAME_CHARACTERS } from '../limits.ts';

/** The classes of MNIST. */
export const digitNames = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'];
/** The classes of Fashion-MNIST. */
export const fashionNames = [
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
];

interface KnownLabels {
  readonly name: string;
  readonly classNames: readonly string[];
}

/**
 * Known datasets, by the SHA-256 of their two label files (train, then test, headers included). The
 * labels identify a dataset: no other has these 70,000 labels in this order. (The published MD5
 * sums of the files are: MNIST a25bea73... and 27ae3e4e...; Fashion-MNIST, gzipped,
 * 25c81989df183df01b3e8a0aad5dffbe and bb300cfdad3c16e7a12a480ee83cd310.)
 */
const knownLabels: Readonly<Record<string, KnownLabels>> = {
  '1793e3d6c9c0ae074e4b71bc56a705320869f09874bc598aa07b50faa179a7fd': {
    name: 'MNIST',
    classNames: digitNames,
  },
  '3c21fee794d4e929e970f998d4bd834b9bcc1484fcff27a63c189edbc12937f4': {
    name: 'Fashion-MNIST',
    classNames: fashionNames,
  },
};

/**
 * Looks up a dataset's name and class names by the digest of its labels. The class names of an
 * unknown dataset are 0-9.
 */
export function knownClassNames(labelsDigest: string): {
  name: string | undefined;
  classNames: readonly string[];
} {
  return knownLabels[labelsDigest] ?? { name: undefined, classNames: digitNames };
}

/**
 * Parses a labels.txt file: 2 to 256 distinct printable names, one per line. Throws a DATA error
 * that names `file`.
 */
export function parseClassNames(text: string, file: string): string[] {
  const lines = text.split(/\r\n|\r|\n/);
  // Some editors leave blank lines at the end.
  while (lines.at(-1)?.trim() === '') lines.pop();
  if (lines.length < 2 || lines.length > MAX_CLASSES) {
    throw new ClusterError('DATA', `${file} has ${lines.length} class names`, {
      fix: `give 2 to ${MAX_CLASSES} names, one per line`,
    });
  }
  return lines.map((line, i) => {
    const name = line.trim();
    const shown = JSON.stringify(name.slice(0, MAX_NAME_CHARACTERS));
    if (!isClassName(name)) {
      throw new ClusterError('DATA', `${file}, line ${i + 1}: ${shown} is not a class name`, {
        fix: `use 1 to ${MAX_NAME_CHARACTERS} printable characters`,
      });
    }
    const before = lines.findIndex((other) => other.trim() === name);
    if (before < i) {
      throw new ClusterError(
        'DATA',
        `${file}: lines ${before + 1} and ${i + 1} are both ${shown}`,
        {
          fix: 'give each class a different name',
        },
      );
    }
    return name;
  });
}

/** Whether a class may have this name: 1 to 64 printable characters. */
export function isClassName(name: string): boolean {
  return name.length <= MAX_NAME_CHARACTERS && /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(name);
}
