/** Castagnoli's polynomial, with its bits reversed. */
const POLYNOMIAL = 0x82f63b78;

const table = Int32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ POLYNOMIAL : rest >>> 1;
  return rest;
});

/** CRC-32C (RFC 3720, B.4) as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  let rest = -1;
  for (let i = 0; i < bytes.length; i++)
    rest = (table[(rest ^ (bytes[i] ?? 0)) & 255] ?? 0) ^ (rest >>> 8);
  return (rest ^ -1) >>> 0;
}
