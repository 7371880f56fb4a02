import type { Row } from './doctor-rows.ts';

const marks: Record<Row['status'], string> = { ok: 'ok', warning: 'warn', failed: 'FAIL' };

/**
 * The rows as a table for people: check, status, detail, and under a row that is not ok its fix.
 */
export function rowLines(rows: readonly Row[]): string[] {
  const width = Math.max(...rows.map(({ check }) => check.length));
  return rows.flatMap(({ check, status, detail, fix }) => [
    `${check.padEnd(width)}  ${marks[status].padEnd(4)}  ${detail.replaceAll('\n', ' ')}`,
    ...(fix === undefined ? [] : [`${' '.repeat(width)}        fix: ${fix}`]),
  ]);
}
