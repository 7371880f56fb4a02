import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'vitest';

const MAX_RESIDENT_BYTES = 64 * 1024 ** 2;
const MAX_MESSAGE_MICROSECONDS = 20_000;
/**
 * Attempts at measuring an attack. Load from other processes makes some of them expensive, but an
 * expensive attack makes all of them expensive.
 */
const TRIES = 5;

/** Resident memory after a garbage collection, including the memory of the attackers. */
function residentBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') Reflect.apply(collect, undefined, []);
  return process.memoryUsage.rss();
}

/**
 * Expects that this process does not grow each time an attack is repeated. Compilers and pools
 * allocate once; a leak allocates every time.
 */
export async function expectBoundedMemory(attack: () => Promise<void>): Promise<void> {
  let least = Infinity;
  for (let i = 0; i < 2 && least >= MAX_RESIDENT_BYTES; i++) {
    const before = residentBytes();
    await attack();
    least = Math.min(least, residentBytes() - before);
  }
  expect(least).toBeLessThan(MAX_RESIDENT_BYTES);
}

/**
 * Expects the whole process, including sending and training, to use little processor time in the
 * best of a few attempts.
 */
export async function expectCheap(attack: () => Promise<void>): Promise<void> {
  let least = Infinity;
  for (let i = 0; i < TRIES && least >= MAX_MESSAGE_MICROSECONDS; i++) {
    const before = process.cpuUsage();
    await attack();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  expect(least).toBeLessThan(MAX_MESSAGE_MICROSECONDS);
}
