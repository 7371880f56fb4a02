import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  endOf,
  newestUnfinished,
  reaches,
  readLines,
} from '../../../../coordinator/run-directory/read-run.ts';
import { MAX_RUN_FILE_BYTES } from '../../../../shared/limits.ts';
import {
  FIRST_LINE,
  MetricsFormatter,
  readMetrics,
  type LinePosition,
} from '../../../../shared/files/metrics.ts';
import type { RunRecord } from '../../../../shared/files/run-schema.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { sampleRun } from '../../../fixtures/run-record.ts';

function leave(runs: string, run: string, change: Partial<RunRecord>): void {
  mkdirSync(join(runs, run));
  writeFileSync(join(runs, run, 'run.json'), JSON.stringify({ ...sampleRun, run, ...change }));
}

describe('the lines that a checkpoint covers', () => {
  const formatter = new MetricsFormatter();
  const common = { epoch: 1, samples: 8, loss: 1, correct: 0 };
  const chainOf = (step: number) => String(step).repeat(64);
  const texts = [1, 2, 3, 4].flatMap((step) => {
    const sets = [[], ['test'], [], ['test'], ['validation', 'test']] as const;
    return [
      formatter.step({ ...common, step, milliseconds: 1, weights: 0n, chain: chainOf(step) }),
      ...(sets[step] ?? []).map((set) => formatter.evaluation({ set, ...common, step })),
    ];
  });
  const text = texts.join('');
  const { lines: all } = readMetrics(text);
  const endAfter = (count: number): LinePosition => ({
    bytes: texts.slice(0, count).join('').length,
    digest: all[count - 1]?.digest ?? FIRST_LINE.digest,
  });
  const cases: [step: number, validation: number, test: number, count: number][] = [
    [1, 0, 0, 1],
    [1, 0, 1, 2],
    [2, 0, 1, 3],
    // A run that was cut off before its last evaluation evaluates again.
    [3, 0, 0, 4],
    [3, 0, 3, 5],
    [4, 0, 3, 6],
    // A run that was cut off between its two last evaluations.
    [4, 4, 3, 7],
    [4, 4, 4, 8],
  ];
  function written(content: string): string {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'metrics.jsonl'), content);
    return folder;
  }

  it.each(cases)(
    'at step %i, validated at %i, tested at %i, are the first %i lines',
    async (step, validation, test, count) => {
      const folder = written(`${text}{"torn`);
      const end = endAfter(count);
      const ways: (LinePosition | undefined)[] = [
        end,
        // The whole file is read if the checkpoint records no position or a wrong one.
        undefined,
        { ...end, digest: 'f'.repeat(16) },
        { ...end, bytes: end.bytes - 1 },
        { ...end, bytes: 10 ** 9 },
      ];
      for (const lines of ways) {
        const evaluated = { validation, test };
        const checkpoint = { step, evaluated, chain: chainOf(step), lines };
        const found = await readLines(folder, checkpoint);
        expect(found.covered).toEqual({ line: all[count - 1], end });
        expect(found.later.map(({ line }) => line)).toEqual(all.slice(count));
        expect(endOf(found)).toEqual(endAfter(8));
        expect(reaches(found, checkpoint)).toBe(true);
        // The run has lost the last line that the checkpoint covers.
        const shorter = written(texts.slice(0, count - 1).join(''));
        expect(reaches(await readLines(shorter, checkpoint), checkpoint)).toBe(false);
      }
    },
  );

  it('do not include any if there is no checkpoint', async () => {
    const found = await readLines(written(text), undefined);
    expect(found.covered).toBeUndefined();
    expect(found.later.map(({ line }) => line)).toEqual(all);
    expect(endOf(await readLines(written(''), undefined))).toEqual(FIRST_LINE);
  });

  it('are checked from the last one on, and all of them if the whole file is read', async () => {
    const evaluated = { validation: 0, test: 1 };
    const checkpoint = { step: 2, evaluated, chain: chainOf(2), lines: endAfter(3) };
    const changed = (count: number) => {
      const at = texts.slice(0, count - 1).join('').length + 50;
      return written(`${text.slice(0, at)}!${text.slice(at + 1)}`);
    };
    await expect(readLines(changed(3), checkpoint)).rejects.toThrow(/line 3 of .* is damaged/);
    await expect(readLines(changed(4), checkpoint)).rejects.toThrow(
      /line 1 after byte \d+ of .* is damaged/,
    );
    expect((await readLines(changed(1), checkpoint)).later).toHaveLength(5);
    await expect(readLines(changed(1), { ...checkpoint, lines: undefined })).rejects.toThrow(
      /line 1 of/,
    );
    const cut = written(text.replace(texts[0] ?? '', ''));
    await expect(readLines(cut, checkpoint), 'a line is missing').rejects.toThrow(/line 1 of/);
    const other = { ...checkpoint, chain: chainOf(9) };
    expect(
      (await readLines(written(text), other)).covered?.line.step,
      'the step is a different one',
    ).toBe(2);
  });
});

describe('the newest unfinished run', () => {
  it('is the one that started last among those that can be resumed', async () => {
    const runs = temporaryFolder();
    leave(runs, 'a', { state: 'interrupted', started: '2026-01-01T00:00:00.000Z' });
    leave(runs, 'b', { state: 'running', started: '2026-01-03T00:00:00.000Z' });
    leave(runs, 'c', { state: 'failed', started: '2026-01-02T00:00:00.000Z' });
    leave(runs, 'd', { state: 'finished', started: '2026-01-04T00:00:00.000Z' });
    leave(runs, 'e', { state: 'diverged', started: '2026-01-05T00:00:00.000Z' });
    mkdirSync(join(runs, '.f.pull'));
    writeFileSync(
      join(runs, '.f.pull', 'run.json'),
      JSON.stringify({
        ...sampleRun,
        run: 'f',
        state: 'interrupted',
        started: '2026-01-06T00:00:00.000Z',
      }),
    );
    mkdirSync(join(runs, 'foreign'));
    writeFileSync(join(runs, 'file'), '');
    leave(runs, 'large', { state: 'running', started: '2026-01-07T00:00:00.000Z' });
    truncateSync(join(runs, 'large', 'run.json'), MAX_RUN_FILE_BYTES + 1);
    expect(await newestUnfinished(runs)).toBe(join(runs, 'b'));
  });

  it('is reported as missing if there is none', async () => {
    const runs = temporaryFolder();
    await expect(newestUnfinished(runs)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(newestUnfinished(join(runs, 'none'))).rejects.toMatchObject({
      message: expect.stringContaining('none (--resume)'),
    });
  });
});
