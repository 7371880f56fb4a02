import { isIPv6 } from 'node:net';
import type { ValueType } from './value-types.ts';

/** A coordinator's default port. */
export const DEFAULT_PORT = 29_400;
/** The default port of the live page and /metrics. */
export const DEFAULT_HTTP_PORT = 9_464;

/** A host name or an address to listen on, without scheme, port or brackets. */
export const host: ValueType<string> = {
  metavar: 'HOST',
  allowed:
    'a host name or an IP address without a scheme or port, such as 127.0.0.1, 0.0.0.0 or ::1',
  words: [],
  parse(text) {
    const address = text.replace(/^\[(.*)\]$/, '$1');
    // No URL can contain a zone, such as %eth0.
    if (isIPv6(address)) return address.includes('%') ? undefined : address;
    if (!/^[a-z0-9]([a-z0-9._-]{0,252})$/i.test(address)) return undefined;
    // A URL reads "10.5" and "0x0a000005" as numbers, and would dial another address.
    return urlOf(`ws://${address}`)?.hostname === address.toLowerCase() ? address : undefined;
  },
  format: String,
};

/**
 * A coordinator's address, `ws://host:port` or `wss://host:port`. The text may omit the scheme and
 * the port.
 */
export const endpoint: ValueType<string> = {
  metavar: 'URL',
  allowed: 'wss://HOST:PORT, ws://HOST:PORT or HOST:PORT (without a path or a user name)',
  words: [],
  parse(text) {
    const bare = /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
      ? text
      : `ws://${isIPv6(text) ? `[${text}]` : text}`;
    const url = urlOf(bare.replace(/^http/i, 'ws'));
    if (url === undefined || !['ws:', 'wss:'].includes(url.protocol) || url.hostname === '')
      return undefined;
    if (url.username !== '' || url.password !== '' || url.pathname !== '/') return undefined;
    if (url.search !== '' || url.hash !== '') return undefined;
    // URL drops a port that is the scheme's default; only the text shows whether it was given.
    const standard = url.protocol === 'ws:' ? '80' : '443';
    const isStandard = new RegExp(`:0*${standard}/?$`).test(bare);
    const port = url.port !== '' ? url.port : isStandard ? standard : String(DEFAULT_PORT);
    return port === '0' ? undefined : `${url.protocol}//${url.hostname}:${port}`;
  },
  format: String,
};

function urlOf(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
