import { z } from 'zod';

const text = z.string().max(200);

/** What an engine says of itself: on the wire, in run.json, and in the message that refuses another one. */
export const engineDescription = z.strictObject({
  kind: z.enum(['tensorflow', 'wasm', 'reference']),
  library: text,
  device: text,
  processor: text,
  threads: z.int().min(0).max(1024),
});

export type EngineIdentity = z.infer<typeof engineDescription>;
