import { recipeSettings, type Configuration } from './configuration.ts';

/** A setting of several recipes; the values have the order of the recipes. */
export interface SettingDifference {
  readonly setting: string;
  /** Undefined for a recipe that does not have the setting. */
  readonly values: readonly (string | undefined)[];
}

/** The settings that the recipes do not have in common. */
export function settingDifferences(recipes: readonly Configuration[]): SettingDifference[] {
  const settings = recipes.map(recipeSettings);
  const names = new Set(settings.flatMap((each) => [...each.keys()]));
  return [...names].flatMap((setting) => {
    const values = settings.map((each) => each.get(setting));
    return new Set(values).size === 1 ? [] : [{ setting, values }];
  });
}
