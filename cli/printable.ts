// What a terminal may act on or a reader cannot see: control characters (C0, DEL, C1), direction marks and overrides,
// line and paragraph separators, the byte order mark, tag characters, and surrogates without their partner.
const UNSAFE =
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/** `text` with everything escaped (`\u{1b}`) that a terminal could act on; for whatever came from a peer or a file. */
export function printable(text: string, maxCharacters = Number.POSITIVE_INFINITY): string {
  const shown = text.length > maxCharacters ? `${text.slice(0, maxCharacters)}...` : text;
  return shown.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** The same for a line of JSON: `\u001b`, so that the line stays JSON. The line break at its end is kept. */
export function printableJson(line: string): string {
  const end = line.endsWith('\n') ? '\n' : '';
  const escaped = line.slice(0, line.length - end.length).replace(UNSAFE, (character) => {
    const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
    return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
  });
  return escaped + end;
}
