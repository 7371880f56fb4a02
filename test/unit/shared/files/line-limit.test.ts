import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { linesWithin } from '../../../../shared/files/line-limit.ts';
import { MAX_JSON_LINE_BYTES } from '../../../../shared/limits.ts';

const read = (pieces: readonly Uint8Array[]) =>
  Readable.from(linesWithin(Readable.from(pieces), 'events.jsonl')).toArray();
const half = Buffer.alloc(MAX_JSON_LINE_BYTES / 2);

it('passes on all pieces of a file whose lines are within the limit', async () => {
  const pieces = [half, half, Buffer.from('\n'), half, Buffer.from('\n\n'), half];
  expect(await read(pieces)).toEqual(pieces);
});

it.each([
  ['with a line feed', [half, half, Buffer.from('x\n')]],
  ['without a line feed', [Buffer.from('x\n'), half, half, Buffer.from('x')]],
])('ends at a line that is too long, %s', async (_, pieces) => {
  await expect(read(pieces)).rejects.toMatchObject({
    code: 'DATA',
    message: expect.stringContaining('events.jsonl is damaged'),
    fix: expect.any(String),
  });
});

it('fits the event of an evaluation with the largest confusion matrix', () => {
  const row = Array.from({ length: 256 }, () => 99_999_999);
  const confusion = Array.from({ length: 256 }, () => row);
  expect(JSON.stringify({ confusion }).length).toBeLessThan(0.9 * MAX_JSON_LINE_BYTES);
});
