import { describe, expect, it } from 'vitest';
import { light } from '../../../../artifacts/report/colours.ts';
import { sweepSvg } from '../../../../artifacts/report/sweep-picture.ts';
import { parseSweepFile } from '../../../../cli/sweep/sweep-file.ts';
import { pictureOf } from '../../../../cli/sweep/sweep-panels.ts';
import { reportLines, reportOf, reportRows } from '../../../../cli/sweep/sweep-report.ts';
import type { TrialResult } from '../../../../cli/sweep/trial-results.ts';
import { explainedBy } from '../../../../cli/sweep/what-mattered.ts';
import { plainText } from '../../../../cli/terminal/styled-line.ts';

function trial(run: string, rate: string, seed: string, accuracy: number | undefined): TrialResult {
  const best = accuracy === undefined ? undefined : { step: 200, epoch: 2, accuracy, loss: 0.5 };
  return {
    run,
    directory: `runs/s/${run}`,
    values: { 'learning-rate': rate, seed },
    state: accuracy === undefined ? 'diverged' : 'finished',
    set: 'validation',
    evaluations: best === undefined ? [] : [best],
    totalSteps: 200,
    best,
    test: accuracy === undefined ? undefined : { accuracy: accuracy - 0.01, loss: 0.6 },
    seconds: 61,
  };
}

const results = [
  trial('trial-001', '0.001', '1', 0.9),
  trial('trial-002', '0.001', '2', 0.91),
  trial('trial-003', '0.01', '1', 0.97),
  trial('trial-004', '0.01', '2', 0.975),
  trial('trial-005', '1', '1', undefined),
];
const report = reportOf('runs/s', ['learning-rate', 'seed'], results);

describe('the report of a sweep', () => {
  it('lists the trials, best first, and what mattered', () => {
    const lines = reportLines(report).map(plainText);
    expect(lines[0]).toMatch(/^trial +learning-rate +seed +validation +loss +epoch +test +time/);
    expect(lines.slice(1, 6).map((line) => line.split(' ')[0])).toEqual([
      'trial-004',
      'trial-003',
      'trial-002',
      'trial-001',
      'trial-005',
    ]);
    expect(lines[1]).toMatch(/0\.01 +2 +97\.50 % +0\.5000 +2 +96\.50 % +1:01 +finished$/);
    expect(lines[5]).toMatch(/- +- +- +- +1:01 +diverged$/);
    expect(lines.at(-1)).toMatch(/explains alone: learning-rate 98 %, seed 0 %\.$/);
    expect(report.best).toBe('trial-004');
  });

  it('has a row of CSV for each trial, in the order of the sweep', () => {
    const [heads = [], ...rows] = reportRows(report);
    expect(rows.map(([run]) => run)).toEqual(results.map(({ run }) => run));
    expect(rows.every(({ length }) => length === heads.length)).toBe(true);
    expect(rows[4]?.slice(2)).toEqual(['diverged', '1', '1', '', '', '', '', '', '', 61]);
  });

  it('says that too few trials show nothing', () => {
    const few = reportOf('runs/s', ['seed'], results.slice(0, 2));
    expect(plainText(reportLines(few).at(-1) ?? '')).toContain('too few different trials');
  });

  it('explains nothing if groups differ no more than their members', () => {
    const scored = [1, 2, 3, 4].flatMap((seed) =>
      [0.1, 0.2].map((score) => ({ value: String(seed), score: score + seed * 0.001 })),
    );
    expect(explainedBy(scored)).toBe(0);
    expect(explainedBy(scored.map(({ value }) => ({ value, score: Number(value) })))).toBe(1);
  });

  it('groups the values of a range by size', () => {
    const scored = Array.from({ length: 12 }, (_, i) => ({
      value: String(i + 0.5),
      score: i < 6 ? 0 : 1,
    }));
    expect(explainedBy(scored)).toBe(1);
  });

  it('does not separate trials with the same value', () => {
    const twice = (score: (value: number) => number) =>
      [1, 2, 3, 4, 5].flatMap((value) =>
        [0, 0].map(() => ({ value: String(value), score: score(value) })),
      );
    expect(explainedBy(twice((value) => value % 2))).toBe(1);
    // A whole number that a range draws often, and others that it draws once.
    const often = [1, 0, 1, 0, 1, 0].map((score) => ({ value: '1', score }));
    const others = [2, 3, 4, 5, 6].map((value) => ({ value: String(value), score: 0.5 }));
    expect(explainedBy([...often, ...others])).toBe(0);
    expect(explainedBy([...often.toSorted((a, b) => b.score - a.score), ...others])).toBe(0);
  });

  it('finds nothing if all trials have the same score', () => {
    const scored = ['a', 'a', 'b'].map((value) => ({ value, score: 0.1 }));
    expect(explainedBy(scored)).toBe(0);
  });

  it('has a picture with a panel for each option and a point for each trial', () => {
    const text = 'vary: {learning-rate: [0.001, 0.01, 1], seed: [1, 2]}\n';
    const svg = sweepSvg(pictureOf(parseSweepFile(text, 's.yaml'), report), light);
    expect(svg).toContain('>Best validation accuracy of 4 trials<');
    expect(svg).toContain('>learning-rate: explains 98 %<');
    expect(svg.match(/<circle /g)).toHaveLength(8);
    expect(svg).not.toContain('NaN');
  });

  it('escapes what a file may contain', () => {
    const panel = { title: '<a>', scale: 'list', values: ['<b>'], of: ['<b>'] } as const;
    const svg = sweepSvg({ title: '<c>', panels: [panel], accuracies: [0.5] }, light);
    expect(svg).not.toMatch(/<[abc]>/);
  });
});
