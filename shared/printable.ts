/**
 * Characters that control a terminal or that a reader cannot see: control characters (C0, DEL, C1),
 * line and paragraph separators, direction marks and overrides, zero-width and other invisible
 * characters, and lone surrogates.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/**
 * The same characters except line feeds, for JSON, in which a line feed is always white space
 * between values.
 */
const UNPRINTABLE_IN_JSON =
  /[^\P{Cc}\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * `text` with unprintable characters escaped, as in `\u{1b}`. Printable text does not change, so
 * the function is idempotent.
 */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/**
 * Equivalent JSON text with unprintable characters escaped in JSON's way, as in `\u001b`. Line
 * breaks are kept.
 */
export function printableJson(json: string): string {
  return json.replace(UNPRINTABLE_IN_JSON, (character) =>
    Array.from({ length: character.length }, (_, i) => jsonEscape(character.charCodeAt(i))).join(
      '',
    ),
  );
}

/**
 * `text` with each unprintable character replaced by U+FFFD. The result is never longer, and can be
 * used as a name.
 */
export function visible(text: string): string {
  return text.replace(UNPRINTABLE, '\ufffd');
}

/** `value` as JSON, with `visible` applied to its strings. */
export function visibleJson(value: unknown): string {
  const json = JSON.stringify(value);
  // Unprintable characters are rare, and examining each string takes longer than formatting all of
  // them.
  if (!/\\[bfnrtu]|[\p{Cf}\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u.test(json))
    return json;
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'string' ? visible(each) : each,
  );
}

function jsonEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** The first digits of a SHA-256, which are enough to tell two digests apart in a message. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 16);
}
