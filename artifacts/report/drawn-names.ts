import { MAX_DRAWN_NAME_EMS } from '../../shared/limits.ts';
import { visible } from '../../shared/printable.ts';

/**
 * The names of classes 0 .. classes - 1 for a picture: its number for a class without one, and none
 * too long.
 */
export function drawnNames(names: readonly string[], classes: number): string[] {
  return Array.from({ length: classes }, (_, index) =>
    shortened(visible(names[index] ?? String(index)), MAX_DRAWN_NAME_EMS),
  );
}

/** The text, or so much of it as is about `ems` wide in units of its size. */
export function shortened(text: string, ems: number): string {
  if (widthOf(text) <= ems) return text;
  const characters = Array.from(text);
  while (widthOf(`${characters.join('')}…`) > ems) characters.pop();
  return `${characters.join('').trimEnd()}…`;
}

/** About how wide a text is in DejaVu Sans, in units of its size; hardly ever less than it is. */
export function widthOf(text: string): number {
  return Array.from(text, emsOf).reduce((sum, ems) => sum + ems, 0);
}

function emsOf(character: string): number {
  if (/[ fijlrtI.,:;'|!()[\]-]/.test(character)) return 0.4;
  if (/[a-z0-9]/.test(character)) return /[mw]/.test(character) ? 0.98 : 0.65;
  return /[MW@%…→\u2e80-\uffff]/.test(character) || character.length > 1 ? 1.1 : 0.78;
}
