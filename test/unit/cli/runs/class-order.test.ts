import { expect, test } from 'vitest';
import { compareClasses } from '../../../../cli/runs/class-order.ts';
import type { OwnDataset } from '../../../../shared/dataset/own-dataset.ts';

function compared(ours: readonly string[] | undefined, theirs: readonly string[]) {
  const own: OwnDataset = {
    subject: 'runs/a',
    digest: '',
    name: undefined,
    folder: undefined,
    classes: 2,
    classNames: ours,
    conversion: {},
    imageSize: undefined,
  };
  return compareClasses({ name: 'runs/a', own }, { classNames: theirs });
}

test('classes with the same names, or unknown ones, cause no warning', () => {
  expect(compared(['cat', 'dog'], ['cat', 'dog'])).toBeUndefined();
  expect(compared(undefined, ['cat', 'dog'])).toBeUndefined();
});

test('classes with other names cause a warning that names the first one', () => {
  expect(compared(['cat', 'dog'], ['cat', 'wolf'])).toBe(
    'class 1 is "dog" for runs/a, and "wolf" in the dataset: ' +
      'the result is right only if both mean the same',
  );
});

test('the same names in another order are refused', () => {
  expect(() => compared(['cat', 'dog'], ['dog', 'cat'])).toThrow(
    expect.objectContaining({
      code: 'DATA',
      message: expect.stringContaining('class 0 is "cat" for runs/a, and "dog" in the dataset'),
      fix: expect.stringContaining('cat, dog'),
    }),
  );
});
