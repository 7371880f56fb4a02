import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { hasFunctions } from './has-functions.ts';
import { readyTensorFlow } from '../engine-manifest.ts';
import { SUPPORT_FILE, tfjsPackage } from '../places.ts';

/** The functions of support.cc. */
export interface Support {
  /** Captures stderr; has no effect if stderr is already captured. */
  captureStderr(): void;
  /** Restores stderr and returns the captured text. */
  releaseStderr(): string;
  /** Keeps the memory of freed tensors for the next ones. Call it before TensorFlow is loaded. */
  keepLargeBlocks(): void;
  /** Sets whether this thread treats floats below 2^-126 as zero, as TensorFlow's threads do. */
  flushSubnormals(on: boolean): void;
  /** Sets whether this thread's signals wait: one during a matrix product would damage it. */
  holdSignals(on: boolean): void;
}

/** Calls TensorFlow while this thread's signals wait. */
export function withoutSignals<T>(support: Support, call: () => T): T {
  support.holdSignals(true);
  try {
    return call();
  } finally {
    support.holdSignals(false);
  }
}

/** Used if the binding was built elsewhere, without our addon next to it. */
const none: Support = {
  captureStderr: () => undefined,
  releaseStderr: () => '',
  keepLargeBlocks: () => undefined,
  flushSubnormals: () => undefined,
  holdSignals: () => undefined,
};

/** The addon that was compiled together with TensorFlow's binding. */
export function loadSupport(): Support {
  const directory = readyTensorFlow()?.moduleDirectory ?? tfjsPackage().moduleDirectory;
  const file = join(directory, SUPPORT_FILE);
  if (!existsSync(file)) return none;
  const loaded: unknown = createRequire(import.meta.url)(file);
  return isSupport(loaded) ? loaded : none;
}

function isSupport(loaded: unknown): loaded is Support {
  return hasFunctions(loaded, Object.keys(none));
}
