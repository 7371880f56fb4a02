/** The recipes in the package, each with one line for its list. */
export const recipeSummaries = {
  quickstart: 'the defaults: a dense network, Adam, five epochs',
  best: 'for high accuracy: a convolutional network, AdamW, a cosine schedule',
} as const;

export type RecipeName = keyof typeof recipeSummaries;

export function isRecipeName(text: string): text is RecipeName {
  return Object.hasOwn(recipeSummaries, text);
}

export const recipeNames: readonly RecipeName[] = Object.keys(recipeSummaries).filter(isRecipeName);
