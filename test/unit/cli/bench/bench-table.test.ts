import { describe, expect, test } from 'vitest';
import { benchReportSchema } from '../../../../cli/bench/bench-report.ts';
import { benchText, digits } from '../../../../cli/bench/bench-table.ts';
import { reportFixture } from './bench-report.ts';

describe('the JSON report', () => {
  test('survives a round trip through JSON and the schema unchanged', () => {
    const report = reportFixture();
    expect(benchReportSchema.parse(JSON.parse(JSON.stringify(report)))).toEqual(report);
  });

  test.each([
    ['an unknown field', { ...reportFixture(), extra: 1 }],
    ['a different format', { ...reportFixture(), format: 1 }],
    [
      'a median beyond its extremes',
      {
        ...reportFixture(),
        wire: [
          {
            transport: 'tcp',
            workers: 1,
            steps_per_second: { median: 5, min: 1, max: 3, repetitions: 1 },
          },
        ],
      },
    ],
    [
      'a number that JSON cannot represent',
      JSON.parse(JSON.stringify({ ...reportFixture(), pairs: NaN })),
    ],
  ])('rejects %s', (_what, report) => {
    expect(benchReportSchema.safeParse(report).success).toBe(false);
  });
});

describe('the table', () => {
  const text = benchText(reportFixture());

  test('shows the medians and extremes in every section, and the skipped engines', () => {
    expect(text).toContain('model 784-128-10 (101,770 parameters)');
    expect(text).toMatch(/^ {2}dropout mask, batch 32 +9\.00 +\(8\.00\.\.12\.0\)$/m);
    expect(text).toMatch(/^ {2}live page and metrics, 4 workers +5\.20 +\(5\.10\.\.6\.40\)$/m);
    expect(text).toMatch(/^ {2}messages and decisions, 2 workers +90\.0 +\(88\.0/m);
    expect(text).toMatch(/^ {2}wasm +32 +2 of 4 +0\.200 +\(0\.190\.\.0\.300\)$/m);
    expect(text).toMatch(/^ {2}tensorflow does not run here: no compiler$/m);
    expect(text).toMatch(/^ {2}WebSocket +2 +960 +\(852\.\.1000\)$/m);
    expect(text).toMatch(
      /^ +32 +2 +1500 +1000 +\(990\.\.1063\) +32,000 +1\.00 +\(0\.900\.\.1\.10\)$/m,
    );
    expect(text).toMatch(
      /^ +32 +2 +1\.00 +82 % +0\.200 \(20 %\) +0\.040 \(4 %\) +0\.500 \(50 %\) +0\.080 \(8 %\)/m,
    );
  });

  test('has lines of at most 120 columns without trailing spaces', () => {
    for (const line of text.split('\n')) {
      expect(line).toBe(line.trimEnd());
      expect(line.length).toBeLessThanOrEqual(120);
    }
  });

  test.each([
    [1063.4, '1063'],
    [83.25, '83.3'],
    [9.999, '10.00'],
    [0.1919, '0.192'],
    [0, '0.000'],
    [-0.264, '-0.264'],
    [-12.34, '-12.3'],
  ])('writes %d with three digits', (value, shown) => {
    expect(digits(value)).toBe(shown);
  });
});
