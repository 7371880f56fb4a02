import { z } from 'zod';
import type { Misclassified } from '../../shared/evaluation/misclassified.ts';
import { confidence, worst } from '../../shared/evaluation/worst.ts';
import { MAX_SHOWN_MISTAKES } from '../../shared/limits.ts';
import type { Mistake } from './api.ts';
import { jsonLinesFrom } from './json-lines.ts';

const lineSchema = z.object({
  index: z.int().min(0),
  true: z.int().min(0),
  predicted: z.int().min(0),
  probabilities: z.array(z.number()),
  loss: z.number(),
});

/**
 * Returns mistakes from a misclassified.jsonl file, including at least all that the page shows (the
 * worst ones). Skips invalid lines.
 */
export async function worstIn(pieces: AsyncIterable<Uint8Array>): Promise<Misclassified[]> {
  let found: Misclassified[] = [];
  for await (const line of jsonLinesFrom(pieces, lineSchema)) {
    found.push(line);
    if (found.length >= 2 * MAX_SHOWN_MISTAKES) found = worst(found, MAX_SHOWN_MISTAKES);
  }
  return found;
}

/**
 * The most confident mistakes with their pictures, worst first. `images` holds the test set,
 * [samples, pixels].
 */
export function worstMistakes(
  wrong: readonly Misclassified[],
  images: Uint8Array,
  pixels: number,
): Mistake[] {
  const shown = worst(
    wrong.filter(({ index }) => (index + 1) * pixels <= images.length),
    MAX_SHOWN_MISTAKES,
  );
  return shown.map((mistake) => ({
    index: mistake.index,
    true: mistake.true,
    predicted: mistake.predicted,
    confidence: confidence(mistake),
    pixels: Buffer.from(
      images.subarray(mistake.index * pixels, (mistake.index + 1) * pixels),
    ).toString('base64'),
  }));
}
