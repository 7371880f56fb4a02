import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { MemoryAddon } from '../../../shared/wire/memory-addon.ts';
import { hasFunctions } from './has-functions.ts';
import { readyTensorFlow } from '../engine-manifest.ts';
import { MEMORY_FILE } from '../places.ts';

const functions = [
  'create',
  'open',
  'close',
  'write',
  'read',
  'load',
  'store',
  'wake',
  'wait',
  'spin',
];

/**
 * The addon for mapped memory, which set-up compiles together with TensorFlow's binding. Undefined
 * if it is missing or cannot be loaded, or if this kernel lacks a system call that it needs.
 */
export function loadMemoryAddon(): MemoryAddon | undefined {
  const ready = process.platform === 'linux' ? readyTensorFlow() : undefined;
  if (ready === undefined) return undefined;
  const file = join(ready.moduleDirectory, MEMORY_FILE);
  if (!existsSync(file)) return undefined;
  try {
    const addon: unknown = createRequire(import.meta.url)(file);
    return isMemoryAddon(addon) && canWait(addon) ? addon : undefined;
  } catch {
    return undefined;
  }
}

function isMemoryAddon(addon: unknown): addon is MemoryAddon {
  return hasFunctions(addon, functions);
}

function canWait(addon: MemoryAddon): boolean {
  const { memory } = addon.create(64);
  try {
    return addon.wait(memory, 0, [memory, memory], 32, [0, 0], 1);
  } finally {
    addon.close(memory);
  }
}
