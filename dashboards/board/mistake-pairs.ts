import { z } from 'zod';
import { linesIfThere } from '../../coordinator/run-directory/run-contents.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { lstatIfThere } from '../../shared/disk/regular-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import { MISTAKES_FILE } from '../../shared/files/run-layout.ts';
import { MAX_BOARD_MISTAKES_BYTES, MAX_BOARD_PAIRS } from '../../shared/limits/board.ts';
import { jsonLinesFrom } from '../feed/json-lines.ts';
import type { MistakePair, MistakePairs, PairGroup, Prediction } from './api.ts';
import { artifactPath } from './run-files.ts';
import type { ListedRun } from './runs-folder.ts';

/** The part of a line of misclassified.jsonl that is compared. */
const lineSchema = z.object({
  index: z.int().min(0),
  true: z.int().min(0),
  predicted: z.int().min(0),
  probabilities: z.array(z.number()),
});

/** Each misclassified image of a run, by its index in the test set. */
type Mistakes = Map<number, { readonly true: number; readonly prediction: Prediction }>;

/** Loads the dataset of a run, or says why it is not available. */
export type LoadDataset = (run: ListedRun) => Promise<Dataset | string>;

/** Compares the mistakes of two runs. Rejects with DATA or LIMIT if a file cannot be read. */
export async function mistakePairs(
  runs: readonly [ListedRun, ListedRun],
  load: LoadDataset,
): Promise<MistakePairs> {
  const { dataset: facts } = runs[0].record;
  const { class_names: classNames, rows, columns } = facts;
  const none = { count: 0, shown: [] };
  const nothing = { classNames, rows, columns, groups: [none, none, none] } as const;
  const refused = (problem: string): MistakePairs => ({ ...nothing, problem, noPictures: '' });
  if (facts.sha256 !== runs[1].record.dataset.sha256)
    return refused('The two runs have different datasets.');
  const [first, second] = [await mistakesOf(runs[0]), await mistakesOf(runs[1])];
  for (const [index, mistakes] of [first, second].entries())
    if (mistakes === undefined)
      return refused(`${runs[index]?.name ?? ''} has no list of its mistakes.`);
  if (first === undefined || second === undefined) return refused('');
  const dataset = await load(runs[0]);
  const images = typeof dataset === 'string' ? undefined : dataset.test.images;
  const indices = [...new Set([...first.keys(), ...second.keys()])];
  const isWrong = (mistakes: Mistakes) => (index: number) => mistakes.has(index);
  const [inFirst, inSecond] = [isWrong(first), isWrong(second)];
  const group = (chosen: readonly number[]) =>
    groupOf(chosen, first, second, (index) => pictureOf(images, index, rows * columns));
  return {
    ...nothing,
    problem: '',
    noPictures: typeof dataset === 'string' ? dataset : '',
    groups: [
      group(indices.filter((index) => inFirst(index) && inSecond(index))),
      group(indices.filter((index) => inFirst(index) && !inSecond(index))),
      group(indices.filter((index) => !inFirst(index) && inSecond(index))),
    ],
  };
}

/** Undefined for a run without the file, which is written at the end. */
async function mistakesOf({ directory }: ListedRun): Promise<Mistakes | undefined> {
  const path = await artifactPath(directory, MISTAKES_FILE);
  if (path === undefined) return undefined;
  const stat = await lstatIfThere(path);
  if (stat === undefined) return undefined;
  if (stat.size > MAX_BOARD_MISTAKES_BYTES)
    throw new ClusterError(
      'LIMIT',
      `${MISTAKES_FILE} has ${stat.size} bytes, more than ${MAX_BOARD_MISTAKES_BYTES} ` +
        '(MAX_BOARD_MISTAKES_BYTES)',
    );
  const mistakes: Mistakes = new Map();
  for await (const line of jsonLinesFrom(linesIfThere(path), lineSchema)) {
    const confidence = line.probabilities[line.predicted] ?? 0;
    mistakes.set(line.index, {
      true: line.true,
      prediction: { class: line.predicted, confidence },
    });
  }
  return mistakes;
}

function groupOf(
  indices: readonly number[],
  first: Mistakes,
  second: Mistakes,
  picture: (index: number) => string,
): PairGroup {
  const pairs = indices.map((index): Omit<MistakePair, 'pixels'> => {
    const [a, b] = [first.get(index), second.get(index)];
    const predicted = [a?.prediction ?? null, b?.prediction ?? null] as const;
    return { index, true: a?.true ?? b?.true ?? 0, predicted };
  });
  const shown = pairs
    .toSorted((a, b) => certainty(b) - certainty(a) || a.index - b.index)
    .slice(0, MAX_BOARD_PAIRS)
    .map((pair) => ({ ...pair, pixels: picture(pair.index) }));
  return { count: indices.length, shown };
}

function certainty({ predicted }: Pick<MistakePair, 'predicted'>): number {
  return Math.max(...predicted.map((prediction) => prediction?.confidence ?? 0));
}

function pictureOf(images: Uint8Array | undefined, index: number, pixels: number): string {
  if (images === undefined || (index + 1) * pixels > images.length) return '';
  return Buffer.from(images.subarray(index * pixels, (index + 1) * pixels)).toString('base64');
}
