import { distance } from 'fastest-levenshtein';

/** The name that `text` most likely means, or undefined if none is similar. */
export function nearest(text: string, names: readonly string[]): string | undefined {
  const wanted = text.toLowerCase().slice(0, 100);
  let best: { name: string; edits: number } | undefined;
  for (const name of names) {
    const edits = distance(wanted, name.toLowerCase());
    if (best === undefined || edits < best.edits) best = { name, edits };
  }
  if (best === undefined) return undefined;
  // At most a third of the letters may differ: "lokal" means local, "x" means nothing.
  return best.edits <= Math.max(1, Math.floor(best.name.length / 3)) ? best.name : undefined;
}

/** "did you mean X? ", or nothing. `known`, a synonym, takes precedence over a similar name. */
export function didYouMean(text: string, names: readonly string[], known?: string): string {
  const name = known ?? nearest(text, names);
  return name === undefined ? '' : `did you mean ${name}? `;
}

/** The fix, as a sentence of its own if a suggestion precedes it. */
export function afterSuggestion(suggestion: string, fix: string): string {
  return suggestion === '' ? fix : suggestion + fix.charAt(0).toUpperCase() + fix.slice(1);
}
