import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { linesUntil, newestUnfinished } from '../../coordinator/old-run.ts';
import { MetricsFormatter, readMetrics } from '../../shared/metrics.ts';
import type { RunRecord } from '../../shared/run-schema.ts';
import { temporaryFolder } from '../process/cluster.ts';
import { sampleRun } from '../shared/sample-run.ts';

function leave(runs: string, run: string, change: Partial<RunRecord>): void {
  mkdirSync(join(runs, run));
  writeFileSync(join(runs, run, 'run.json'), JSON.stringify({ ...sampleRun, run, ...change }));
}

describe('what a checkpoint knows', () => {
  const formatter = new MetricsFormatter();
  const common = { epoch: 1, samples: 8, loss: 1, correct: 0 };
  const texts = [1, 2, 3].flatMap((step) => [
    formatter.step({ ...common, step, milliseconds: 1, weights: 0n, chain: '0'.repeat(64) }),
    ...(step === 2 ? [] : [formatter.evaluation({ ...common, step })]),
  ]);
  const written = { lines: readMetrics(texts.join('')).lines, text: texts.join('') };

  it.each([
    [undefined, 0],
    [{ step: 1, evaluated: 0 }, 1],
    [{ step: 1, evaluated: 1 }, 2],
    [{ step: 2, evaluated: 1 }, 3],
    // One that was cut off at the very end evaluates once more.
    [{ step: 3, evaluated: 0 }, 4],
    [{ step: 3, evaluated: 3 }, 5],
  ])('%j is %i lines', (checkpoint, count) => {
    const { lines, text } = linesUntil(checkpoint, written);
    expect(lines).toEqual(written.lines.slice(0, count));
    expect(text).toBe(texts.slice(0, count).join(''));
  });
});

describe('the newest unfinished run', () => {
  it('is the one that was started last, of those that can go on', async () => {
    const runs = temporaryFolder();
    leave(runs, 'a', { state: 'interrupted', started: '2026-01-01T00:00:00.000Z' });
    leave(runs, 'b', { state: 'running', started: '2026-01-03T00:00:00.000Z' });
    leave(runs, 'c', { state: 'failed', started: '2026-01-02T00:00:00.000Z' });
    leave(runs, 'd', { state: 'finished', started: '2026-01-04T00:00:00.000Z' });
    leave(runs, 'e', { state: 'diverged', started: '2026-01-05T00:00:00.000Z' });
    mkdirSync(join(runs, '.f.pull'));
    writeFileSync(
      join(runs, '.f.pull', 'run.json'),
      JSON.stringify({ ...sampleRun, run: 'f', state: 'interrupted', started: '2026-01-06T00:00:00.000Z' }),
    );
    mkdirSync(join(runs, 'foreign'));
    writeFileSync(join(runs, 'file'), '');
    expect(await newestUnfinished(runs)).toBe(join(runs, 'b'));
  });

  it('is missed by name where there is none', async () => {
    const runs = temporaryFolder();
    await expect(newestUnfinished(runs)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(newestUnfinished(join(runs, 'none'))).rejects.toMatchObject({
      message: expect.stringContaining('none is unfinished (--resume)'),
    });
  });
});
