import { expect, it } from 'vitest';
import { csv, printedCsv } from '../../../../artifacts/report/csv.ts';

it('csv quotes characters that would end a field', () => {
  expect(csv([['a,b', 'say "x"', 'two\nlines', 1.5]])).toBe('"a,b","say ""x""","two\nlines",1.5\n');
});

it('printedCsv keeps spreadsheets from running formulas, and leaves numbers unchanged', () => {
  expect(printedCsv([['=HYPERLINK("x")', '+1', '-1', '@x', '\tx', 'a=b', -1, '']])).toBe(
    `"'=HYPERLINK(""x"")",'+1,'-1,'@x,'\tx,a=b,-1,\r\n`,
  );
});
