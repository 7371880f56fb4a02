import { ClusterError } from '../../shared/errors.ts';
import { MIN_TOKEN_CHARACTERS } from '../../shared/limits.ts';
import { endpoint } from '../options/endpoint.ts';
import { checkedToken } from './token.ts';

/** What a worker needs to join a coordinator. */
export interface Join {
  /** `wss://HOST:PORT`, or `ws://HOST:PORT` without TLS. */
  readonly coordinator: string;
  readonly token: string;
  /**
   * SHA-256 of a certificate in the coordinator's chain, 64 hexadecimal digits. Set only with TLS.
   */
  readonly ca: string | undefined;
}

/**
 * The join string: a URL such as `wss://10.0.0.5:29400/#token=...&ca=...`. The secrets are in the
 * fragment, which HTTP clients never send.
 */
export function joinText({ coordinator, token, ca }: Join): string {
  const parts = new URLSearchParams({ token, ...(ca === undefined ? {} : { ca }) });
  return `${coordinator}/#${parts.toString()}`;
}

// The URL ends at a character that it cannot contain, such as a quote, a bracket or a space.
const JOIN = /(?<![\w+.-])(wss?:\/\/[\w.:[\]-]+)\/?#([\w*.+%=&-]+)/i;
const BEGINNING = /(?<![\w+.-])wss?:\/\/.*$/i;
const CONTINUATION = /^[\w*.+%=&:/#[\]-]+["'`>)]?$/;
/**
 * Characters that terminals and editors add: escape sequences, including those around a paste, a
 * byte order mark, and zero-width characters.
 */
// oxlint-disable-next-line no-control-regex -- the pattern searches for control characters
const INVISIBLE = /\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000\u200b-\u200d\u2060\ufeff]/g;

/**
 * Finds the join string in pasted text. The string may be in quotes or brackets, follow blank lines
 * or the time of a log line, and be broken into several lines. Throws USAGE; the message does not
 * repeat the text, which may contain a secret.
 */
export function parseJoin(text: string): Join {
  const joined = inOneLine(text);
  const [, address = '', fragment = ''] = JOIN.exec(joined) ?? [];
  const coordinator = endpoint.parse(address);
  const parts = new URLSearchParams(fragment);
  const ca = caOf(parts);
  if (coordinator === undefined || address === '' || !isWholeLine(joined))
    throw new ClusterError(
      'USAGE',
      `this is not a join string (${text.trim().length} characters)`,
      {
        fix: 'copy the whole line that the coordinator prints: wss://HOST:PORT/#token=...&ca=...',
      },
    );
  return { coordinator, token: checkedToken(parts.get('token') ?? '', 'the join string'), ca };
}

/**
 * Whether the pasted text contains the whole join string. Without TLS, the length of the string is
 * unknown, so any token that is long enough counts as whole.
 */
export function isWhole(text: string): boolean {
  return isWholeLine(inOneLine(text));
}

function isWholeLine(text: string): boolean {
  const [, address = '', fragment = ''] = JOIN.exec(text) ?? [];
  const parts = new URLSearchParams(fragment);
  const ca = caOf(parts);
  if (address === '' || (parts.get('token') ?? '').length < MIN_TOKEN_CHARACTERS) return false;
  return /^ws:/i.test(address) ? ca === undefined : /^[0-9a-f]{64}$/.test(ca ?? '');
}

/** The digest, which other programs write in capitals, without the full stop of a sentence. */
function caOf(parts: URLSearchParams): string | undefined {
  return parts.get('ca')?.replace(/\.+$/, '').toLowerCase();
}

/** Whether the text contains the beginning of a join string. */
export function hasBegun(text: string): boolean {
  return BEGINNING.test(inOneLine(text));
}

/** The join string with its continuation lines joined; empty if the text contains none. */
function inOneLine(text: string): string {
  const lines = text.replaceAll(INVISIBLE, '').split(/[\r\n]+/);
  const first = lines.findIndex((line) => BEGINNING.test(line));
  let joined = BEGINNING.exec(lines[first] ?? '')?.[0].trimEnd() ?? '';
  for (const line of first < 0 ? [] : lines.slice(first + 1)) {
    const isOver = isWholeLine(joined) && /^wss:/i.test(joined);
    if (isOver || !CONTINUATION.test(line.trim())) break;
    joined += line.trim();
  }
  return joined;
}
