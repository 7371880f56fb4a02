import type { Stream } from './capture.ts';

/** Long enough that bytes at two places in a frame do not match by chance. */
const WINDOW_BYTES = 16;
const [CHANGE_CIPHER, HANDSHAKE, DATA] = [20, 22, 23];

/** All sequences of 16 consecutive bytes in these bodies, one character per byte. */
export function windowsOf(...bodies: readonly Uint8Array[]): Set<string> {
  const windows = new Set<string>();
  for (const body of bodies) for (const window of eachWindow(body)) windows.add(window);
  return windows;
}

/** The windows that occur anywhere in the captured streams. */
export function windowsIn(streams: readonly Stream[], windows: ReadonlySet<string>): Set<string> {
  const found = new Set<string>();
  for (const { bytes } of streams)
    for (const window of eachWindow(bytes)) if (windows.has(window)) found.add(window);
  return found;
}

function* eachWindow(bytes: Uint8Array): Generator<string> {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  for (let at = 0; at + WINDOW_BYTES <= text.length; at++) yield text.slice(at, at + WINDOW_BYTES);
}

/** The words that occur anywhere in the captured streams. */
export function wordsIn(streams: readonly Stream[], words: readonly string[]): string[] {
  return words.filter((word) => streams.some(({ bytes }) => bytes.includes(word)));
}

/**
 * Throws unless these bytes are TLS from first to last: a handshake, then only encrypted data.
 */
export function checkTls({ name, bytes }: Stream): void {
  for (let at = 0; at < bytes.length;) {
    const head = bytes.subarray(at, at + 5);
    const isKind = at === 0 ? head[0] === HANDSHAKE : head[0] === DATA || head[0] === CHANGE_CIPHER;
    const isHello = at > 0 || bytes[5] === 1 || bytes[5] === 2;
    if (!isKind || head[1] !== 3 || !isHello || head.length < 5)
      throw new Error(`${name}: not a TLS record at byte ${at}: ${head.toString('hex')}`);
    at += 5 + head.readUInt16BE(3);
  }
}
