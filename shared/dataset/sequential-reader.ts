/**
 * Fills `target` with the next bytes and resolves to their number, which is less than the length of
 * `target` only at the end.
 */
export type SequentialReader = (target: Uint8Array) => Promise<number>;

/** Reads pieces of any size one after the other, and takes a piece only when it is needed. */
export function sequentialReader(pieces: AsyncIterator<Uint8Array>): SequentialReader {
  let rest: Uint8Array = new Uint8Array();
  return async (target) => {
    let at = 0;
    while (at < target.length) {
      if (rest.length === 0) {
        const next = await pieces.next();
        if (next.done === true) break;
        rest = next.value;
      }
      const part = rest.subarray(0, target.length - at);
      target.set(part, at);
      at += part.length;
      rest = rest.subarray(part.length);
    }
    return at;
  };
}
