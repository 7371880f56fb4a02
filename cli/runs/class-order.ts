import type { Dataset } from '../../shared/dataset/dataset.ts';
import { ClusterError } from '../../shared/errors.ts';
import type { ChosenModel } from './choose-model.ts';

/**
 * Compares the names of a model's classes with those of a dataset that it was not trained with,
 * since classes are numbers for a model. Returns a warning if a class has another name, and throws
 * DATA if the names are the same in another order: the result would be wrong.
 */
export function compareClasses(
  { name, own }: Pick<ChosenModel, 'name' | 'own'>,
  { classNames }: Pick<Dataset, 'classNames'>,
): string | undefined {
  const ours = own.classNames;
  const at = ours?.findIndex((each, label) => each !== classNames[label]) ?? -1;
  if (ours === undefined || at < 0) return undefined;
  const what = `class ${at} is "${ours[at]}" for ${name}, and "${classNames[at]}" in the dataset`;
  if (ours.toSorted().join('\n') !== classNames.toSorted().join('\n'))
    return `${what}: the result is right only if both mean the same`;
  throw new ClusterError('DATA', `the classes have another order: ${what}`, {
    fix: `list the class names in labels.txt in the order of ${name}: ${ours.join(', ')}`,
  });
}
