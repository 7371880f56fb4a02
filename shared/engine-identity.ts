import { z } from 'zod';
import { foreignText } from './schema.ts';

export const engineKinds = ['tensorflow', 'wasm', 'reference'] as const;
export type EngineKind = (typeof engineKinds)[number];

const text = foreignText(200);

/**
 * An engine's identity, as used on the wire, in run.json and in errors about a different engine.
 */
export const engineIdentity = z.strictObject({
  kind: z.enum(engineKinds),
  /** The library and its version: "TensorFlow 2.21.0 (tfjs-node-gpu 4.22.0)". */
  library: text,
  /** "cpu", or "cuda:0 NVIDIA H100". */
  device: text,
  /** The processor model, on which the bytes depend. */
  processor: text,
  threads: z.int().min(0).max(1024),
});

export type EngineIdentity = z.infer<typeof engineIdentity>;

/** What can make two engines with the same identity compute different bytes, for messages. */
export const HIDDEN_DIFFERENCES =
  "environment variables that the engine's library reads, or features of the processor that its " +
  'name does not show';

export function isSameEngine(one: EngineIdentity, other: EngineIdentity): boolean {
  return (
    one.kind === other.kind &&
    one.library === other.library &&
    one.device === other.device &&
    one.processor === other.processor &&
    one.threads === other.threads
  );
}

/** An engine as messages show it: "wasm (TensorFlow.js 4.22.0, cpu)". */
export function engineText({ kind, library, device }: EngineIdentity): string {
  return `${kind} (${library}, ${device})`;
}
