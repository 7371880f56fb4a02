import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../shared/package-root.ts';
import { parseConfig } from './config-file.ts';
import type { OptionKey } from './options.ts';
import type { Given } from './origin.ts';
import type { RecipeName } from './recipe-names.ts';

/** The text of a recipe, which --config accepts as well. */
export function recipeText(name: RecipeName): string {
  return readFileSync(join(packageRoot, 'recipes', `${name}.yaml`), 'utf8');
}

/** The options that a recipe sets. */
export function recipeOptionsOf(name: RecipeName): Map<OptionKey, Given> {
  // It consists of the defaults, and a default may follow from another option.
  if (name === 'quickstart') return new Map();
  const given = parseConfig(recipeText(name), `--recipe ${name}`);
  return new Map([...given].map(([key, value]) => [key, { ...value, source: 'recipe' }]));
}
