import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'vitest';

const MAX_RESIDENT_BYTES = 64 * 1024 ** 2;
const MAX_MESSAGE_MICROSECONDS = 20_000;
/** Other processes' load makes some attempts dear; what is dear by itself is dear every time. */
const TRIES = 5;

/** Resident memory that stays after a collection, attackers' own included. */
function residentBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') Reflect.apply(collect, undefined, []);
  return process.memoryUsage.rss();
}

/**
 * An attack may not make this process grow. What compilers and pools take, they take once; what
 * leaks does so every time.
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

/** Processor time of the whole process, sending and training included: the least of a few tries. */
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
