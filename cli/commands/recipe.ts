import { ClusterError } from '../../shared/errors.ts';
import type { CommandLine } from '../options/options.ts';
import { recipeText } from '../options/recipe-file.ts';
import { isRecipeName, recipeNames, recipeSummaries } from '../options/recipe-names.ts';
import { afterSuggestion, didYouMean } from '../options/suggest.ts';
import { padRight } from '../terminal/columns.ts';
import { stdout } from '../terminal/output.ts';

/** `mnist-dist recipe`: prints the file of a recipe, or lists the recipes. */
export function recipe({ operands: [name] }: Pick<CommandLine, 'operands'>): Promise<number> {
  if (name === undefined) {
    const width = Math.max(...recipeNames.map((each) => each.length));
    stdout.write(
      ...recipeNames.map((each) => `${padRight(each, width)}  ${recipeSummaries[each]}`),
    );
    return Promise.resolve(0);
  }
  if (!isRecipeName(name))
    throw new ClusterError('USAGE', `there is no recipe ${name}`, {
      fix: afterSuggestion(didYouMean(name, recipeNames), `allowed: ${recipeNames.join(', ')}`),
    });
  stdout.program(recipeText(name));
  return Promise.resolve(0);
}
