// XXH64 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). Four
// accumulators each take 8 bytes of a 32-byte stripe. A pass that reads floats anyway updates them
// alongside its SIMD work.
const PRIME1: u64 = 0x9e3779b185ebca87;
const PRIME2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME3: u64 = 0x165667b19e3779f9;
const PRIME4: u64 = 0x85ebca77c2b2ae63;
const PRIME5: u64 = 0x27d4eb2f165667c5;

// The initial accumulators.
export const START1: u64 = PRIME1 + PRIME2;
export const START2: u64 = PRIME2;
export const START3: u64 = 0;
export const START4: u64 = 0 - PRIME1;

export const STRIPE_BYTES: usize = 32;

export function round(accumulator: u64, input: u64): u64 {
  return rotl(accumulator + input * PRIME2, 31) * PRIME1;
}

function merge(hash: u64, accumulator: u64): u64 {
  return (hash ^ round(0, accumulator)) * PRIME1 + PRIME4;
}

/**
 * Completes the hash from the accumulators after all whole stripes. `at` is the address of the
 * remaining `length % 32` bytes.
 */
export function finish(a: u64, b: u64, c: u64, d: u64, length: usize, at: usize): u64 {
  let hash: u64 = PRIME5;
  if (length >= STRIPE_BYTES) {
    hash = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  }
  hash += <u64>length;
  const end = at + (length & 31);
  while (at + 8 <= end) {
    hash = rotl(hash ^ round(0, load<u64>(at)), 27) * PRIME1 + PRIME4;
    at += 8;
  }
  if (at + 4 <= end) {
    hash = rotl(hash ^ (<u64>load<u32>(at) * PRIME1), 23) * PRIME2 + PRIME3;
    at += 4;
  }
  while (at < end) {
    hash = rotl(hash ^ (<u64>load<u8>(at) * PRIME5), 11) * PRIME1;
    at += 1;
  }
  hash = (hash ^ (hash >> 33)) * PRIME2;
  hash = (hash ^ (hash >> 29)) * PRIME3;
  return hash ^ (hash >> 32);
}

/** The XXH64 of `length` bytes. */
export function checksum(at: usize, length: usize): u64 {
  let a = START1;
  let b = START2;
  let c = START3;
  let d = START4;
  const end = at + (length & ~31);
  while (at < end) {
    a = round(a, load<u64>(at));
    b = round(b, load<u64>(at, 8));
    c = round(c, load<u64>(at, 16));
    d = round(d, load<u64>(at, 24));
    at += STRIPE_BYTES;
  }
  return finish(a, b, c, d, length, at);
}
