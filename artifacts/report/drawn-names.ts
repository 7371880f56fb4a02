import { MAX_DRAWN_NAME_EMS } from '../../shared/limits.ts';
import { visible } from '../../shared/printable.ts';

/**
 * The shortened names of classes 0 to classes - 1, for a picture. A class without a name gets its
 * number.
 */
export function drawnNames(names: readonly string[], classes: number): string[] {
  return Array.from({ length: classes }, (_, index) =>
    shortened(visible(names[index] ?? String(index)), MAX_DRAWN_NAME_EMS),
  );
}

/** The text, cut to a width of about `ems` times the font size if it is wider. */
export function shortened(text: string, ems: number): string {
  if (widthOf(text) <= ems) return text;
  const characters = Array.from(text);
  while (widthOf(`${characters.join('')}…`) > ems) characters.pop();
  return `${characters.join('').trimEnd()}…`;
}

/** Approximate width of a string in DejaVu Sans, in ems; rarely less than the actual width. */
export function widthOf(text: string): number {
  return Array.from(text, emsOf).reduce((sum, ems) => sum + ems, 0);
}

function emsOf(character: string): number {
  if (/[ fijlrtI.,:;'|!()[\]-]/.test(character)) return 0.4;
  if (/[a-z0-9]/.test(character)) return /[mw]/.test(character) ? 0.98 : 0.65;
  return /[MW@%…→\u2e80-\uffff]/.test(character) || character.length > 1 ? 1.1 : 0.78;
}
