/** The models that have names. */
export const modelNames = ['mlp', 'convnet'] as const;

/** Whether the text names a model to train, not a trained one. */
export function isDescription(text: string): boolean {
  return modelNames.some((name) => name === text) || /\.ya?ml$/i.test(text);
}
