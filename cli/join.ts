import { readSync } from 'node:fs';
import { ClusterError } from '../shared/errors.ts';
import { MAX_JOIN_CHARACTERS } from '../shared/limits.ts';
import { endpoint } from './endpoint.ts';
import { checkedToken } from './token.ts';

/** All that a worker needs to know of a coordinator. */
export interface Join {
  /** `wss://HOST:PORT`, or `ws://HOST:PORT` without TLS. */
  readonly coordinator: string;
  readonly token: string;
  /** SHA-256 of a certificate in the coordinator's chain, 64 hexadecimal digits; with TLS only. */
  readonly ca: string | undefined;
}

/**
 * As one word: a URL whose secrets stand behind the #, which no client sends anywhere, such as
 * `wss://10.0.0.5:29400/#token=...&ca=...`.
 */
export function joinText({ coordinator, token, ca }: Join): string {
  const parts = new URLSearchParams({ token, ...(ca === undefined ? {} : { ca }) });
  return `${coordinator}/#${parts.toString()}`;
}

/** What stands before it on its line, as in a log, is passed over. Throws USAGE, without repeating what may hold a secret. */
export function parseJoin(text: string): Join {
  const [, address = '', fragment = ''] = /(?:^|\s)(wss?:\/\/[^/#\s]+)\/?#(\S+)\s*$/.exec(text) ?? [];
  const coordinator = endpoint.parse(address);
  const parts = new URLSearchParams(fragment);
  const ca = parts.get('ca') ?? undefined;
  const isWhole =
    coordinator?.startsWith('ws:') === true ? ca === undefined : /^[0-9a-f]{64}$/.test(ca ?? '');
  if (coordinator === undefined || address === '' || !isWhole)
    throw new ClusterError('USAGE', `this is no join string (${text.trim().length} characters)`, {
      fix: 'copy the whole line that the coordinator prints: wss://HOST:PORT/#token=...&ca=...',
    });
  return { coordinator, token: checkedToken(parts.get('token') ?? '', 'the join string'), ca };
}

/** The first line of stdin, which may be a pipe or a terminal; what comes after it is left there. */
export function readJoinLine(): string {
  const byte = Buffer.alloc(1);
  let line = '';
  while (line.length < MAX_JOIN_CHARACTERS && readSync(0, byte) === 1 && byte[0] !== 0x0a)
    line += byte.toString('latin1');
  return line;
}
