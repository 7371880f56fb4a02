import type { CsvRow } from '../../artifacts/report/csv.ts';
import type { Dataset } from '../../shared/dataset/dataset.ts';
import { shapeText } from '../../shared/dataset/image-size.ts';
import type { ReadDataset } from '../../shared/dataset/load-dataset.ts';
import { resize } from '../../shared/dataset/resize.ts';
import { count } from '../../shared/text/number-format.ts';
import { columnsOf, firstColumns, padLeft, padRight } from './columns.ts';
import { dotLines, sideBySide } from './dot-picture.ts';
import type { Style } from './style.ts';

/** A dataset, and where it was found. */
export interface FoundDataset {
  /** Undefined for the installed MNIST. */
  readonly path: string | undefined;
  readonly form: ReadDataset['form'];
  readonly dataset: Dataset;
  readonly notes: readonly string[];
}

const formTexts: Readonly<Record<ReadDataset['form'], string>> = {
  idx: 'idx files',
  npz: 'an .npz file',
  csv: 'CSV',
  pictures: 'folders of pictures',
};
/** Most classes that are shown with a picture, and the greatest side of a picture in pixels. */
const SHOWN_CLASSES = 20;
const SHOWN_SIDE = 28;
const SHOWN_NAME_COLUMNS = 14;

/** What a dataset contains: a summary, a table of its classes, and a picture of each class. */
export function datasetLines(found: FoundDataset, width: number, style: Style): string[] {
  const { path, form, dataset, notes } = found;
  const { name, digest, bytes, classNames, train, test } = dataset;
  const what = name === undefined ? '' : `, ${name}`;
  return [
    `${path ?? 'the installed MNIST'}: ${formTexts[form]}${path === undefined ? '' : what}`,
    '',
    `training  ${count(train.samples)} images`,
    `test      ${count(test.samples)} images`,
    `pixels    ${shapeText(dataset)}`,
    `classes   ${classNames.length}`,
    `size      ${count(bytes.length)} bytes as idx`,
    `sha256    ${digest}`,
    ...notes.map((note) => `note      ${note}`),
    '',
    ...classTable(dataset),
    '',
    ...classPictures(dataset, width, style),
  ];
}

/** The dataset as JSON, without its pictures. */
export function datasetDocument({ path, form, dataset, notes }: FoundDataset) {
  const { name, digest, bytes, rows, columns, train, test } = dataset;
  return {
    path: path ?? null,
    form,
    name: name ?? null,
    sha256: digest,
    bytes: bytes.length,
    rows,
    columns,
    train_samples: train.samples,
    test_samples: test.samples,
    notes,
    classes: counted(dataset).map((each) => ({
      class: each.index,
      name: each.name,
      train_samples: each.training,
      test_samples: each.testing,
    })),
  };
}

/** A row for each class: its number, its name, and its samples in both halves. */
export function classRows(dataset: Dataset): CsvRow[] {
  return counted(dataset).map(({ index, name, training, testing }) => [
    index,
    name,
    training,
    testing,
  ]);
}

function counted({ classNames, train, test }: Dataset) {
  const [training, testing] = [train, test].map(({ labels }) => {
    const counts = new Uint32Array(classNames.length);
    for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
    return counts;
  });
  return classNames.map((name, index) => ({
    index,
    name,
    training: training?.[index] ?? 0,
    testing: testing?.[index] ?? 0,
  }));
}

function classTable(dataset: Dataset): string[] {
  const cells = counted(dataset).map(({ index, name, training, testing }) => [
    String(index),
    name,
    count(training),
    count(testing),
  ]);
  const table = [['class', 'name', 'training', 'test'], ...cells];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...table.map((row) => columnsOf(row[column] ?? ''))),
  );
  return table.map((row) =>
    row
      .map((cell, column) => (column === 1 ? padRight : padLeft)(cell, widths[column] ?? 0))
      .join('  '),
  );
}

/** The first training image of each class. A terminal without Unicode shows none. */
function classPictures(dataset: Dataset, width: number, { unicode }: Style): string[] {
  if (!unicode) return [];
  const { classNames, train, rows, columns } = dataset;
  const scale = Math.min(1, SHOWN_SIDE / Math.max(rows, columns));
  const side = (length: number) => Math.max(1, Math.round(scale * length));
  const size = { rows: side(rows), columns: side(columns) };
  const shown = new Uint8Array(size.rows * size.columns);
  const blocks = classNames.slice(0, SHOWN_CLASSES).map((name, index) => {
    const sample = train.labels.indexOf(index);
    const first = sample * rows * columns;
    shown.fill(0);
    if (sample >= 0)
      resize(dataset, train.images.subarray(first, first + rows * columns), size, shown);
    return [...dotLines(shown, size), firstColumns(name, SHOWN_NAME_COLUMNS)];
  });
  const more = classNames.length - blocks.length;
  return [
    `The first training image of ${more > 0 ? `the first ${blocks.length} classes` : 'each class'}`,
    ...sideBySide(blocks, width),
  ];
}
