import { z } from 'zod';

/**
 * What a terminal may act on or a reader cannot see: control characters (C0, DEL, C1), line and
 * paragraph separators, direction marks and overrides, zero-width and other invisible characters,
 * and surrogates without a partner.
 */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** The same in JSON, where a line break is only ever between values. */
const UNPRINTABLE_IN_JSON =
  /[^\P{Cc}\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * `text` with all of these written out: `\u{1b}`. What is printable stays, so that doing it twice
 * changes nothing.
 */
export function printable(text: string): string {
  return text.replace(
    UNPRINTABLE,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/**
 * JSON text that means the same with all of these written out as JSON does: `\u001b`. Its line
 * breaks stay.
 */
export function printableJson(json: string): string {
  return json.replace(UNPRINTABLE_IN_JSON, (character) =>
    Array.from({ length: character.length }, (_, i) => jsonEscape(character.charCodeAt(i))).join(
      '',
    ),
  );
}

/** `text` with a sign (U+FFFD) for each of these: never longer, and fit for a name. */
export function visible(text: string): string {
  return text.replace(UNPRINTABLE, '\ufffd');
}

/**
 * The schema of a peer's words. They are written down and shown in many places, so nothing in them
 * is invisible or drives a terminal from the moment they are parsed.
 */
export const foreignText = (max: number) => z.string().max(max).overwrite(visible);

/** JSON for a reader who sees the strings in it: the same, in each of them. */
export function visibleJson(value: unknown): string {
  const json = JSON.stringify(value);
  // Hardly ever: to look at each string takes longer than to write them all.
  if (!/\\[bfnrtu]|[\p{Cf}\p{Cc}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u.test(json))
    return json;
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'string' ? visible(each) : each,
  );
}

function jsonEscape(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`;
}

/** Enough of a SHA-256 to tell two apart in a message. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 16);
}
