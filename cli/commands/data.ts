import { join } from 'node:path';
import { classSheetSvg } from '../../artifacts/report/class-sheet.ts';
import { toPng } from '../../artifacts/report/raster.ts';
import { doubtsAbout, singleClass } from '../../shared/dataset/doubts.ts';
import { readDataset } from '../../shared/dataset/load-dataset.ts';
import { makeDirectories, writeWhole } from '../../shared/disk/whole-file.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { CommandLine, DataOptions } from '../options/options.ts';
import { classRows, datasetDocument, datasetLines } from '../terminal/dataset-text.ts';
import { stderr, stdout } from '../terminal/output.ts';

const SHEET_FILE = 'contact-sheet.png';

/**
 * `mnist-dist data`: prints what a dataset contains, as `--data` would load it, with a picture of
 * each class. With --out, writes a contact sheet as a PNG.
 */
export async function data(
  { imageSize, testSplit, out, format }: DataOptions,
  { operands: [path] }: Pick<CommandLine, 'operands'>,
): Promise<number> {
  if (path === undefined && (imageSize !== undefined || testSplit !== undefined))
    throw new ClusterError('USAGE', '--image-size and --test-split need the path of a dataset', {
      fix: 'add it: mnist-dist data DIR --image-size 28',
    });
  const notes: string[] = [];
  const say = (note: string) => notes.push(note);
  const { dataset, form } = await readDataset(path, { imageSize, testSplit, say });
  const single = singleClass(dataset);
  notes.push(...(single === undefined ? [] : [single]), ...doubtsAbout(dataset));
  const found = { path, form, dataset, notes };
  switch (format) {
    case 'text':
      stdout.write(...datasetLines(found, stdout.width, stdout.style));
      break;
    case 'json':
      stdout.json(datasetDocument(found));
      break;
    case 'csv':
      stdout.csv(['class', 'name', 'training', 'test'], ...classRows(dataset));
  }
  if (out === undefined) return 0;
  const file = join(out, SHEET_FILE);
  await makeDirectories(out);
  await writeWhole(file, await toPng(await classSheetSvg(dataset)));
  stderr.write(`the contact sheet is ${file}`);
  return 0;
}
