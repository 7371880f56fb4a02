import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { evaluatedSets } from '../../shared/evaluation/evaluated-set.ts';
import { PAST_PAUSE_RATIO } from '../../shared/limits.ts';
import { JsonLines } from './json-lines.ts';

/** The fields of metrics.jsonl that are shown. */
const common = { step: z.number(), samples: z.number(), loss: z.number(), correct: z.number() };
const lineSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('step'), ...common, milliseconds: z.number() }),
  z.object({
    kind: z.literal('evaluation'),
    set: z.enum(evaluatedSets).default('test'),
    ...common,
  }),
]);
export type PastLine = z.infer<typeof lineSchema>;

/**
 * Reads the lines of a metrics.jsonl file during training. After each piece, pauses for several
 * times as long as the piece took, so that even a large file barely slows the steps.
 */
export async function* pastLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<PastLine> {
  const lines = new JsonLines(lineSchema);
  for await (const piece of pieces) {
    const began = performance.now();
    yield* lines.read(piece);
    await sleep(PAST_PAUSE_RATIO * (performance.now() - began), undefined, { ref: false });
  }
}
