/** East Asian wide and fullwidth characters, and those that are emoji by default. */
const WIDE = new RegExp(
  '^[\\u1100-\\u115f\\u2e80-\\u303e\\u3041-\\ua4cf\\uac00-\\ud7a3\\uf900-\\ufaff\\ufe30-\\ufe6f' +
    '\\uff00-\\uff60\\uffe0-\\uffe6\\u{20000}-\\u{3fffd}\\p{Emoji_Presentation}]',
  'u',
);
const NARROW = /^[\u0020-\u02ff]*$/;
const segmenter = new Intl.Segmenter();

/** The terminal columns that a string takes up: two per wide character, none per combining mark. */
export function columnsOf(text: string): number {
  if (NARROW.test(text)) return text.length;
  return charactersOf(text).reduce((sum, character) => sum + widthOf(character), 0);
}

/** The text, padded with trailing spaces to `columns`. */
export function padRight(text: string, columns: number): string {
  return text + blank(columns - columnsOf(text));
}

/** The text, padded with leading spaces to `columns`. */
export function padLeft(text: string, columns: number): string {
  return blank(columns - columnsOf(text)) + text;
}

/** The longest prefix of the text, in whole characters, that fits into `columns`. */
export function firstColumns(text: string, columns: number): string {
  let left = columns;
  let shown = '';
  for (const character of charactersOf(text)) {
    left -= widthOf(character);
    if (left < 0) break;
    shown += character;
  }
  return shown;
}

/** The characters as a reader sees them; one may have several code points. */
function charactersOf(text: string): string[] {
  return Array.from(segmenter.segment(text), ({ segment }) => segment);
}

function widthOf(character: string): number {
  return WIDE.test(character) ? 2 : 1;
}

function blank(columns: number): string {
  return ' '.repeat(Math.max(0, columns));
}
