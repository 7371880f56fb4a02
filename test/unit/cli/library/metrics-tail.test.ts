import { appendFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MetricsTail } from '../../../../cli/library/metrics-tail.ts';
import { MetricsFormatter } from '../../../../shared/files/metrics.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const chain = 'c'.repeat(64);

/** The lines of steps `from` to `to`, with an evaluation after each tenth. */
function linesOf(from: number, to: number, loss = 2): string {
  const formatter = new MetricsFormatter();
  let text = '';
  for (let step = from; step <= to; step++) {
    const common = { step, epoch: 1, samples: 4, loss, correct: 1 };
    text += formatter.step({ ...common, milliseconds: 1, weights: 1n, chain });
    if (step % 10 === 0) text += formatter.evaluation({ ...common, set: 'test' });
  }
  return text;
}

async function read(tail: MetricsTail, file: string): Promise<string[]> {
  const found = [];
  for await (const { kind, step } of tail.read(file)) found.push(`${kind} ${step}`);
  return found;
}

it('returns the lines that were added, once they are complete', async () => {
  const file = join(temporaryFolder(), 'metrics.jsonl');
  const tail = new MetricsTail();
  expect(await read(tail, file)).toEqual([]);
  const text = linesOf(1, 3);
  writeFileSync(file, text.slice(0, -9));
  expect(await read(tail, file)).toEqual(['step 1', 'step 2']);
  appendFileSync(file, text.slice(-9));
  expect(await read(tail, file)).toEqual(['step 3']);
  expect(await read(tail, file)).toEqual([]);
});

it('reads files of any length', async () => {
  const file = join(temporaryFolder(), 'metrics.jsonl');
  writeFileSync(file, linesOf(1, 2000));
  expect(await read(new MetricsTail(), file)).toHaveLength(2200);
});

it('returns no line twice when lines are cut off and written again', async () => {
  const file = join(temporaryFolder(), 'metrics.jsonl');
  const tail = new MetricsTail();
  writeFileSync(file, linesOf(1, 12));
  expect(await read(tail, file)).toHaveLength(13);
  writeFileSync(file, linesOf(1, 5));
  expect(await read(tail, file)).toEqual([]);
  // Longer lines, in the middle of one of which the last position lies.
  writeFileSync(file, linesOf(1, 14, 2.000_000_123_4));
  expect(await read(tail, file)).toEqual(['step 13', 'step 14']);
});

it('rejects a file that is damaged from its beginning', async () => {
  const file = join(temporaryFolder(), 'metrics.jsonl');
  writeFileSync(file, 'nonsense\n');
  await expect(read(new MetricsTail(), file)).rejects.toThrow('damaged');
});
